"""``python -m benchmarks.report out/bench.json``: the pages, the picture, and the README's table, from the
figures alone.

Law: nothing is typed that can be computed; the same figures give the same page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import digest, latency_page
from benchmarks.cases.growth import GROUP as GROWTH
from benchmarks.cases.levels import GROUP as LEVELS
from benchmarks.cases.stages import GROUP as STAGES
from benchmarks.chosen import ours
from benchmarks.table import HEADINGS, cells, figure_text, ratio_text, title

PICTURE = "images/benchmarks.png"

INTRODUCTION = """\
# Benchmarks

This page is generated: `make bench` measures, `make bench-report` writes the page and its picture from the
figures. {effort}

Measured on {date}: {cores} cores ({processor}), {system}, Python {python}, cloudburst-nb {version};
{minutes:.0f} minutes in all.

![Latency, chains, throughput, arrays, store and growth]({picture})

## How to read it

- Every system runs in a process of its own, with two workers, and all are asked in turn, a block of calls
  each, in every round. A machine that slows down slows all of them; **rounds** shows how far the rounds'
  medians lie apart, and **n** is the number of samples. A percentile needs many: with twenty samples, p99 is
  the slowest one.
- Whoever is not asked is suspended meanwhile: a system that wakes up all the time (*wake-ups at rest*) would
  take time from the others, and none has to share a machine with all its competitors. What a call takes when
  the other systems are awake, with nothing to do, is a case of its own.
- *Start-up* is measured from the second time on: bytecode is compiled then, and files are in memory.
- **× limit** is the ratio to what Python processes need that do nothing but answer (or to the same bytes in
  memory): the median of the rounds' ratios, with their range.
- A ping-pong of two processes on *one core* is several times faster than one across *two cores*, where the
  other side has to be woken. An executor that computes is on another core than its client, so the ratio is
  given to two cores; the one to one core stands beside it.
- **× best peer** is the ratio to the fastest other system in that case; below 1 is faster than all of them.
- An empty place: that system has no such thing.

[Where the time of a call goes](latency.md), stage by stage, and which goals are met, is a page of its own.
"""

GROWTH_NOTE = """\
This project alone. **× first** compares with the first line; where a limit was measured at the same time, the
machine's drift is divided out by it.
"""

LEVELS_NOTE = """\
As in the Cloudburst paper's evaluation: DAGs of two to four functions, three or so on average; each reads
two keys, drawn by Zipf's law (1.0), and the last one writes one of those; executors are picked at random,
so that a DAG hops between caches. Not as there: the functions do nothing else, so that what a level costs
is all that there is to see; there are 1,000 keys, far fewer, so that DAGs often read what was just written;
the DAGs have five shapes; and one client makes one call after the other. With several clients, keys change
while a DAG runs, and more versions have to be fetched.
"""


def main(arguments: list[str] | None = None) -> None:
    """Read the figures; write the pages, the picture, and the README's table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="Write the page.")
    parser.add_argument("json", help="what python -m benchmarks has written")
    parser.add_argument("--docs", default="docs", help="the directory of the pages")
    parser.add_argument("--readme", default="", help="a README to put the most important figures into")
    options = parser.parse_args(arguments)
    try:
        text = Path(options.json).read_text()
    except FileNotFoundError:
        parser.error(f"there are no figures in {options.json}: make bench measures them")
    result = json.loads(text)
    write(result, Path(options.docs))
    if options.readme:
        digest.update(result, Path(options.readme))


def write(result: dict[str, Any], docs: Path) -> None:
    """The pages and the picture."""
    from benchmarks.picture import draw

    picture = docs / PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(result, picture)
    (docs / "benchmarks.md").write_text(page(result))
    if stages := latency_page.page(result):
        (docs / "latency.md").write_text(stages)


def page(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    sections = [introduction(result), takers(result)]
    for group in dict.fromkeys(case["group"] for case in result["cases"] if case["group"] != STAGES):
        cases = [case for case in result["cases"] if case["group"] == group]
        sections.append("\n".join(growth(cases) if group == GROWTH else tables(group, cases)))
    return "\n".join(sections).rstrip() + "\n"


def introduction(result: dict[str, Any]) -> str:
    """Where, when and with what."""
    machine = result["machine"]
    quick = "This was a quick run (`make bench QUICK=1`): fewer sizes, fewer samples."
    return INTRODUCTION.format(
        **{name: machine[name] for name in ("date", "cores", "processor", "system", "python")},
        version=machine["cloudburst-nb"],
        minutes=result["seconds"] / 60,
        picture=PICTURE,
        effort=quick if result["quick"] else "",
    ).replace(" \n", "\n")


def takers(result: dict[str, Any]) -> str:
    """Who took part, and how each is used."""
    lines = ["## Who takes part, and how it is used", "", "| | version | how |", "|---|---|---|"]
    for peer in result["peers"].values():
        how = f"*did not take part: {_cell(peer['skipped'])}*" if peer["skipped"] else _cell(peer["how"])
        lines.append(f"| {peer['label']} | {peer['version']} | {how} |")
    return "\n".join([*lines, ""])


def tables(group: str, cases: list[dict[str, Any]]) -> Iterator[str]:
    """A table for each case of a group."""
    yield f"## {group}\n"
    if group == LEVELS:
        yield LEVELS_NOTE
    for case in cases:
        yield f"### {title(case)}\n"
        yield from _markdown(HEADINGS, [cells(row, case["unit"]) for row in case["rows"]])
        for label, note in case["notes"].items():
            yield f"{label}: {_cell(note)}\n"


def growth(cases: list[dict[str, Any]]) -> Iterator[str]:
    """A table for each curve, each point as a multiple of the first one."""
    yield f"## {GROWTH}\n"
    yield GROWTH_NOTE
    for series in dict.fromkeys(case["series"] for case in cases):
        yield f"### {series}\n"
        points = [case for case in cases if case["series"] == series]
        yield from _markdown(("size", "p50", "p99", "× limit", "× first"), list(_points(points)))
        for case in points:
            for note in case["notes"].values():
                yield f"{case['size']:,}: {_cell(note)}\n"


def _points(cases: list[dict[str, Any]]) -> Iterator[list[str]]:
    first: float | None = None
    for case in cases:
        row = ours(case)
        if row is None:
            yield [f"{case['size']:,}", "", "", "", ""]
            continue
        cost = drift_free(row)
        first = cost if first is None else first
        yield [
            f"{case['size']:,}",
            figure_text(row["p50"], case["unit"]),
            figure_text(row["p99"], case["unit"]),
            ratio_text(row["to_limit"]),
            f"{cost / first:.2f}" if first else "",
        ]


def drift_free(row: dict[str, Any]) -> float:
    """What grows: the ratio to the limit where there is one, else the figure itself."""
    return float(row["to_limit"]["p50"] if row["to_limit"] else row["p50"])


def _markdown(headings: tuple[str, ...], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|---" + "|---:" * (len(headings) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    main()
