"""A runtime in a notebook: what its executors do, what is registered, what the store holds."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from cloudburst_nb.display.html import (
    STATES,
    badge,
    bold,
    card,
    code,
    counted,
    faint,
    folded,
    line,
    size,
    table,
)

if TYPE_CHECKING:
    from cloudburst_nb.status import Status
    from cloudburst_runtime.messages import ExecutorStatus

EXECUTORS_SHOWN_MAX = 64
EXECUTORS_OPEN_MAX = 8
NAMES_SHOWN_MAX = 100


def html(status: Status) -> str:
    """A runtime as of one moment."""
    return card(
        STATES["done"],
        line(faint("Cloudburst runtime"), bold(status.name), faint(f"at {status.at}")),
        _executors(status),
        table(
            [
                ["address", ", ".join(code(address) for address in status.addresses)],
                *([["key file", code(status.key_file)]] if status.key_file else []),
                ["functions", _names([f"{n} v{v}" for n, v in sorted(status.functions.items())])],
                ["DAGs", _names(status.dags)],
                [
                    "store",
                    f"{counted(status.keys, 'key')}, {size(status.store_bytes)}",
                ],
                *([["elsewhere", _places(status.afar)]] if status.afar else []),
                ["clients", str(len(status.clients))],
            ]
        ),
    )


def _places(afar: dict[str, str]) -> str:
    """The stores on other hosts."""
    return ", ".join(f"{code(name)} on {escape(host)}" for name, host in afar.items())


def past(address: str, why: str) -> str:
    """A runtime that does not answer any more."""
    return card(STATES["waiting"], line(faint("Cloudburst runtime"), code(address)), line(escape(why)))


def _executors(status: Status) -> str:
    executors = status.executors
    if not executors:
        return line(faint("its executors are starting"))
    busy = sum(bool(each.running) for each in executors)
    waiting = sum(each.queued for each in executors)
    load = f"{busy} busy, {counted(waiting, 'call')} waiting"
    heading = f"{counted(len(executors), 'executor')}: {load}, {status.policy}"
    rows = [_executor(each) for each in executors[:EXECUTORS_SHOWN_MAX]]
    head = ["executor", "process", "runs", "waiting", "holds"]
    hidden = len(executors) - len(rows)
    rest = line(faint(f"… and {hidden} more")) if hidden > 0 else ""
    return folded(escape(heading), table(rows, head) + rest, opened=len(executors) <= EXECUTORS_OPEN_MAX)


def _executor(each: ExecutorStatus) -> list[str]:
    gpus = f" · {each.gpus} GPU" if each.gpus else ""
    runs = f"{badge('running')} {code(each.running)}" if each.running else faint("idle")
    return [code(each.name), faint(f"{each.pid}{gpus}"), runs, f"{each.queued:,}", _names(each.pinned)]


def _names(names: list[str]) -> str:
    if not names:
        return faint("none")
    hidden = len(names) - NAMES_SHOWN_MAX
    shown = ", ".join(code(name) for name in names[:NAMES_SHOWN_MAX])
    return f"{shown} {faint(f'… and {hidden:,} more')}" if hidden > 0 else shown
