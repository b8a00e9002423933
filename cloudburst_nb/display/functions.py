"""A cloud function in a notebook: its signature, how it is registered, its source, what it carries along.

Law: reads what packing found; asks no runtime, so the version is the one that this process registered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudburst_nb.display.code import source
from cloudburst_nb.display.html import STATES, bold, card, code, faint, folded, line, size, table
from cloudburst_nb.display.preview import text_of
from cloudburst_nb.reading import signature_of

if TYPE_CHECKING:
    from cloudburst_nb.function import CloudFunction

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
        source(made.source) if made.source else line(faint("its source text is not known here")),
        _captured(made),
    )


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
