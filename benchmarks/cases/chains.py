"""Functions of functions: chains, fan-out and fan-in."""

from __future__ import annotations

from benchmarks.case import Case, Effort, Row, cases_of, messages_limit

GROUP = "Compositions"
LENGTHS = (1, 2, 5, 10, 20)
WIDTH = 10
APART = {"policy": "round-robin"}
ON_TWO = "cloudburst-nb, on two executors in turn"


@cases_of
def chains(effort: Effort) -> list[Case]:
    """A chain stays on one executor by locality; round-robin sends each link to the other one."""
    composed = Case(
        GROUP,
        "square(increment(x))",
        "square_increment",
        rows=(
            Row("cloudburst", "square_increment", label=ON_TWO, options=APART),
            Row("ray", "compiled_square_increment", label="Ray, compiled graph"),
        ),
        **messages_limit("ring", 2),
    )
    return [composed, *[_chain(length) for length in LENGTHS], _fan()]


def _chain(length: int) -> Case:
    return Case(
        GROUP,
        f"chain of {length}",
        "chain",
        (length,),
        rows=(
            Row("cloudburst", "chain", (length,), ON_TWO, APART),
            Row("ray", "compiled_chain", (length,), "Ray, compiled graph"),
        ),
        series="chain length",
        size=length,
        **messages_limit("ring", length),
    )


def _fan() -> Case:
    return Case(GROUP, f"{WIDTH} at once and their sum", "fan", (WIDTH,), **messages_limit("scatter", WIDTH))
