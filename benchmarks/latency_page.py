"""``docs/latency.md``: where each microsecond of a call goes, and which goals are met.

Law: as in `report`, from the figures alone: nothing is typed that can be computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.parts import PARTS, WHOLES, title
from benchmarks.cases.stages import GROUP, TOTAL
from benchmarks.chosen import ours, row
from benchmarks.goals import AWAITED, verdicts
from benchmarks.table import seconds_text

PAGE = """\
# Where the time of a call goes

This page is generated, as [the benchmarks](benchmarks.md) are, from the figures of the same run
({date}: {cores} cores, Python {python}).

## See it for your own calls

```python
import cloudburst_nb as cb

cb.up(trace=True)
same = cb.function(lambda x: x, name="same")
futures = []
for _ in range(1000):
    futures.append(same(1))
    futures[-1].get()
cb.summary(futures)  # total, queued, transfer, run; and the stages below
futures[0].timings["stages"]
```

A call of one function has its stages. Those of a DAG overlap: it has `timings["nodes"]`, per function.

## The stages of a no-op call

One call at a time, `.get()` in the main thread: medians over {samples:,} calls each. All times are of the
host's one monotonic clock, read in both processes.

{stages}

The stages are of a traced call, which takes {traced}; one that is not traced takes {plain}, and one that is
awaited {awaited}. Two processes that only answer each other need {two} across two cores and {one} on one.

**request** and **reply** are what the machine's ping-pong consists of: two system calls, and a process that
has to wake up. All the rest is Python at work in the client and the executor, one after the other, so it
cannot be faster than the interpreter: a few dozen function calls in each process, every one run once,
as fast as the caches allow.

That is why a process that waits looks for up to 100 µs whether a message has come before it lets the kernel
put it to sleep ([`shell/spinning.py`](../runtime/cloudburst_runtime/shell/spinning.py)). If both ends sleep
between messages, the same call takes about three times as long, and more of the processors as well: waking
up costs more than looking, and the processor comes back with cold caches. The ping-pong sleeps, as most
programs do; so a call can take less than it. A single call after a pause, or on a machine whose cores are all
taken, has processes to wake up, and takes what it takes without looking.

{parts}## What tracing costs when it is off

Nothing. A runtime that is started with `trace=True` puts its stamps in front of the core, the socket's
`wait` and the sandbox, once, when a process starts
([`shell/tracing.py`](../runtime/cloudburst_runtime/shell/tracing.py)); otherwise that module is not even
imported there, and no call asks whether to take the time. An executor's stamps arrive in the step that each
result carries anyway; the place for them is one byte otherwise.

## The goals

{goals}
"""

PARTS_TEXT = """\
## The parts of longer calls

What a future's `timings` say of a call, medians again. A part is what goes on at a time: what two executors
do at once counts once.

{table}

"""

WHY = {
    "10-way": "eleven tasks run on two executors, six of them one after the other on one, each through the "
    "executor's stages (**receive** to **end**), and the client encodes the arguments of ten: **queued** and "
    "**there** in the table of parts; the limit is ten messages of 64 bytes, in two pieces, that nobody "
    "looks at",
    "further hop": "a hop is half a ping-pong, and the executor's stages (**receive** to **end**), once; the "
    "table of parts has ten of them",
    "calls at once": "they cost processor time, not waiting: the client's stages and the executors', on "
    "cores that three processes share; each call has a future, a header and retries of its own",
    "shared counter": "it is a call and, within it, a write that the store acknowledges, **run** in the "
    "table of parts: two round trips, one after the other, of three processes on two cores",
    "get from the client": "a get is a round trip to the store, as a no-op is one to an executor, with an "
    "interpreter at work at both ends",
    "put from the client, 8 B": "a put is a round trip to the store, as a no-op is one to an executor, with "
    "an interpreter at work at both ends",
    "put from the client, 8 MB": "beside the copy, whose time is the limit, it is a put of 8 B: a round trip "
    "to the store. The array, twice, has gone through the processors' caches before that begins, so code and "
    "data of both processes come from memory again: a put of 8 B after a mere copy of 8 MB takes as much "
    "longer. The arena's own part is a few locks and a line in its table",
    "10 × 8 MB, hot": "the arrays lie in huge pages where the system gives them, as those of the limit do; "
    "then the sums take the same time. What is beyond is a call with ten references, as **10 × 10 KB, hot** "
    "is, in processes whose code and data 80 MB have driven out of the processors' caches",
    "p99": "the slowest of a hundred calls is slow for what else the machine does meanwhile, and a call has "
    "more time than a ping-pong to meet it",
    "no-op call, to": "the sum of the stages of the table above that are not **request** and **reply**",
    "on two executors": "the stages of the table above, from **receive** to **end**, twice, and the client's",
    "at dsrr": "what was read, in which version and where it is kept, is noted at each read and travels "
    "along, which takes the time of some more reads; the functions of the case do nothing but read",
    "more functions": "client and executor execute as many bytecodes as with one function "
    "(`tests/test_growth.py` counts them); the time differs with which processes share a core",
    "in flight": "client and executor execute no more bytecodes for a call (`tests/test_growth.py` counts "
    "them), but of a few calls at once each still travels by itself, and three processes share two cores",
    "ahead of": "the other system does less for a call: it keeps no record of it, for one",
}
"""Why a goal whose text has these words is not met."""


def page(result: dict[str, Any]) -> str:
    """The page as Markdown; empty if the stages were not measured."""
    from cloudburst_runtime.shell.tracing import STAGES

    stages = [case for case in result["cases"] if case["group"] == GROUP and case["name"] in STAGES]
    measured = [(case, found) for case in stages if (found := ours(case))]
    if not measured:
        return ""
    machine = result["machine"]
    return PAGE.format(
        **{name: machine[name] for name in ("date", "cores", "python")},
        samples=min(found["samples"] for _, found in measured),
        stages="\n".join(_table(measured)),
        parts=_parts(result),
        goals="\n".join(_goals(result)),
        traced=_median(row(result, TOTAL)),
        plain=_median(row(result, "no-op call")),
        awaited=_median(row(result, "no-op call", AWAITED)),
        two=_median(row(result, TOTAL, role="limit")),
        one=_median(row(result, TOTAL, role="beside")),
    )


def _table(measured: list[tuple[dict[str, Any], dict[str, Any]]]) -> Iterator[str]:
    from cloudburst_runtime.shell.tracing import STAGES

    whole = sum(found["p50"] for _, found in measured)
    yield "| stage | what happens | p50 | p95 | share |"
    yield "|---|---|---:|---:|---:|"
    for case, found in measured:
        share = f"{found['p50'] / whole:.0%}"
        p50, p95 = seconds_text(found["p50"]), seconds_text(found["p95"])
        yield f"| **{case['name']}** | {STAGES[case['name']]} | {p50} | {p95} | {share} |"
    yield f"| | the sum of the medians | {seconds_text(whole)} | | |"


def _parts(result: dict[str, Any]) -> str:
    """The section on the parts; empty if they were not measured."""
    columns = {whole.name: [row(result, title(whole, part)) for part in PARTS] for whole in WHOLES}
    measured = {name: [found["p50"] for found in column if found] for name, column in columns.items()}
    measured = {name: figures for name, figures in measured.items() if len(figures) == len(PARTS)}
    if not measured:
        return ""
    lines = [f"| part | what goes on | {' | '.join(measured)} |", "|---|---|" + "---:|" * len(measured)]
    for index, (part, what) in enumerate(PARTS.items()):
        figures = " | ".join(seconds_text(column[index]) for column in measured.values())
        lines.append(f"| **{part}** | {what} | {figures} |")
    sums = " | ".join(seconds_text(sum(column)) for column in measured.values())
    lines.append(f"| | the sum of the medians | {sums} |")
    return PARTS_TEXT.format(table="\n".join(lines))


def _goals(result: dict[str, Any]) -> Iterator[str]:
    yield "| | measured | goal | met |"
    yield "|---|---:|---:|---|"
    missed: list[str] = []
    for text, measured, wanted, met in verdicts(result):
        yield f"| {text} | {measured} | {wanted} | {'yes' if met else '**no**'} |"
        if not met and (why := next((why for words, why in WHY.items() if words in text), "")):
            missed.append(f"- *{text}*: {why}.")
    if missed:
        yield "\n".join(["", "Why not:", "", *missed])


def _median(found: dict[str, Any] | None) -> str:
    return seconds_text(found["p50"]) if found else "(not measured)"
