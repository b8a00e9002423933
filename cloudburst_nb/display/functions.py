"""A cloud function in a notebook: its signature, how it is registered and was called, its source and what
changed in it, what it carries along.

Law: reads what packing found; the runtime is asked for earlier versions only, and not waited for long.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cloudburst_nb.display.code import changes, source
from cloudburst_nb.display.html import (
    STATES,
    bold,
    card,
    code,
    counted,
    duration,
    faint,
    folded,
    line,
    size,
    table,
)
from cloudburst_nb.display.preview import text_of
from cloudburst_nb.errors import CloudburstError
from cloudburst_nb.reading import signature_of
from cloudburst_runtime.runs import quantile_ms

if TYPE_CHECKING:
    from cloudburst_nb.function import CloudFunction

PATIENCE_S = 1.0
CAPTURED_SHOWN_MAX = 100
ARGUMENT_CHARACTERS_MAX = 200


def html(made: CloudFunction, bound: bool = True) -> str:
    """A function or class; ``bound`` is False for a class whose ``__init__`` still needs its arguments."""
    kind = "class" if made._packed.spec.kind == "class" else "function"
    version = f"v{made._version}" if made._version else "not registered yet"
    return card(
        STATES["running"],
        line(
            faint(f"cloud {kind}"),
            f"{bold(made.name)}{code(made.signature)}",
            faint(f"{version if bound else 'not bound yet'}{_options(made)}"),
        ),
        _construction(made, bound) if kind == "class" else "",
        _missing(made),
        _calls(made),
        source(made.source) if made.source else line(faint("its source text is not known here")),
        _changes(made),
        _captured(made),
    )


def _calls(made: CloudFunction) -> str:
    """How often it ran for anybody, and how long that took; and how long calls took that were made here."""
    if made._home is None:
        return ""
    found, runs = made._home._journal.of(made.name), None
    if made._version:
        with contextlib.suppress(CloudburstError):
            runs = made._home._runs(made.name, timeout=PATIENCE_S)
    parts = []
    if runs is not None and runs.count:
        times = _times("run", quantile_ms(runs, 0.5), quantile_ms(runs, 0.99))
        note = "for everybody, in DAGs too"
        parts.append(line(counted(runs.count, "run"), _errors(runs.failed), times, faint(f"· {note}")))
    if found.calls:
        times = _times("to the result", found.p50_ms, found.p99_ms)
        parts.append(line(counted(found.calls, "call"), "from here", _errors(found.errors), times))
    return "".join(parts)


def _errors(count: int) -> str:
    if not count:
        return faint("· no errors")
    return f'· <span style="color:{STATES["failed"]}">{counted(count, "error")}</span>'


def _times(what: str, p50_ms: float | None, p99_ms: float | None) -> str:
    if p50_ms is None or p99_ms is None:
        return ""
    return faint(f"· {what} p50 {duration(p50_ms / 1000)}, p99 {duration(p99_ms / 1000)}")


def _changes(made: CloudFunction) -> str:
    """What is different in the text from the version before; and that there is a newer one, if so."""
    if made._version < 2 or made._home is None:
        return ""
    try:
        texts = made._home._versions(made.name, timeout=PATIENCE_S)
    except CloudburstError:
        return ""
    earlier = [version for version in texts if version < made._version]
    newer = f"v{max(texts)} is registered now" if max(texts) > made._version else ""
    note = line(f'<span style="color:{STATES["failed"]}">⚠</span> {newer}') if newer else ""
    if not earlier:
        return note
    inner, words = changes(texts[earlier[-1]], made.source)
    heading = f"what changed since v{earlier[-1]}: {words}"
    return note + (folded(heading, inner) if inner else line(faint(heading)))


def _options(made: CloudFunction) -> str:
    spec = made._packed.spec
    options = [
        f"{spec.retries} retries" if spec.retries != 1 else "",
        f"at most {spec.timeout:g} s" if spec.timeout is not None else "",
        "batching" if spec.batching else "",
        "on a GPU" if spec.gpu else "",
        "with the user library" if spec.library else "",
    ]
    return "".join(f" · {option}" for option in options if option)


def _construction(made: CloudFunction, bound: bool) -> str:
    if not bound:
        parameters = signature_of(made.raw, drop=int(made._packed.spec.library_init))
        return line(f"build it with {code(f'{made.name}.bind{parameters}')} and call what that returns")
    args, kwargs = made._packed.init
    given = [_short(arg) for arg in args] + [f"{name}={_short(arg)}" for name, arg in kwargs.items()]
    construction = f"{made.name}({', '.join(given)})"
    return line(f"built once per executor as {code(construction)}") if made.raw is not None else ""


def _short(value: object) -> str:
    try:
        text = text_of(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= ARGUMENT_CHARACTERS_MAX else f"{text[:ARGUMENT_CHARACTERS_MAX]}…"


def _missing(made: CloudFunction) -> str:
    names = made._packed.missing
    if not names:
        return ""
    return line(
        faint("registered at its first use, once these exist:"), ", ".join(code(name) for name in names)
    )


def _captured(made: CloudFunction) -> str:
    """Variables that travel along; modules are only named on the way, and weigh nothing."""
    found = sorted(made._packed.captured, key=lambda each: -each.nbytes)
    if not found:
        return ""
    rows = [
        [code(each.name), code(each.type), faint(size(each.nbytes))] for each in found[:CAPTURED_SHOWN_MAX]
    ]
    if len(found) > len(rows):
        rows.append([faint(f"… and {len(found) - len(rows)} more"), "", ""])
    total = size(sum(each.nbytes for each in found))
    return folded(f"carries along {len(found)} ({total})", table(rows, ["variable", "type", "size"]))
