"""Ten arrays, summed by a function: already where it runs, or new."""

from __future__ import annotations

from benchmarks.case import Case, Effort, cases_of

GROUP = "Ten arrays summed by a function"
SIZES = (10_000, 100_000, 1_000_000, 8_000_000)
SIZES_QUICK = (10_000, 8_000_000)


@cases_of
def arrays(effort: Effort) -> list[Case]:
    """The limit is the same sum in one process; for cold arrays, in memory that is mapped for the sum."""
    return [
        Case(
            GROUP,
            f"10 × {size_text(size)}, {state}",
            "arrays",
            (size, state),
            limit=("in_process", (size, state)),
            series=f"arrays, {state}",
            size=size,
        )
        for state in ("hot", "cold")
        for size in (SIZES_QUICK if effort.quick else SIZES)
    ]


def size_text(size: int) -> str:
    """A number of bytes, for people.

    Examples
    --------
    >>> size_text(10_000), size_text(64_000_000), size_text(8)
    ('10 KB', '64 MB', '8 B')
    """
    for factor, unit in ((1_000_000, "MB"), (1_000, "KB")):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size:g} B"
