"""The line of ``%%cloudburst``: options, and the signature of a cell in body form.

Law: text in, plain values out; this file knows neither IPython nor the client.

::

    %%cloudburst --name scorer --retries 2 --timeout 1.5 --batching --gpu
    %%cloudburst score(image, threshold=0.5) -> (label, p) --gpu

Where the signature ends only Python can say (a default may hold a parenthesis), so its text is cut at the
first closing parenthesis up to which Python's own parser accepts it.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

USAGE = (
    "%%cloudburst [--name N] [--retries N] [--timeout S] [--batching] [--gpu]\n"
    "%%cloudburst NAME(PARAMETERS) -> RESULT [options]"
)
FLAGS = ("batching", "gpu")
VALUED = ("name", "retries", "timeout")
OPTIONS = tuple(f"--{key}" for key in (*VALUED, *FLAGS))

_OPTION = re.compile(r"--(?P<key>[^\s=]*)(?P<equals>=?)")
_VALUE = re.compile(r"\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'][^\s]*))(?=\s|$)")
_RESULT = re.compile(r"\s*->\s*(?:\((?P<many>[^()]*)\)|(?P<bare>[^\s,()]+(?:\s*,\s*[^\s,()-]+)*))")


class LineError(ValueError):
    """The magic's line cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True)
class Options:
    """How the functions of a cell are to be registered.

    Attributes
    ----------
    name
        The name to register under; None for the function's own.
    retries
        How often a call is run again when its executor is lost.
    timeout
        Seconds; None for no limit.
    batching, gpu
        Whether waiting requests are handed over together; whether a GPU is needed.
    """

    name: str | None = None
    retries: int = 1
    timeout: float | None = None
    batching: bool = False
    gpu: bool = False

    def keywords(self) -> dict[str, Any]:
        """The options as keyword arguments of ``cloudburst_nb.function``."""
        return dict(vars(self))


@dataclass(frozen=True)
class Signature:
    """What the line of a cell in body form says: ``text``, which is ``name(parameters)``, ``-> results``."""

    name: str
    text: str
    results: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A magic line, taken apart."""

    options: Options = field(default_factory=Options)
    signature: Signature | None = None


def parse_line(line: str) -> Line:
    """Take apart what follows ``%%cloudburst`` on its line.

    Parameters
    ----------
    line
        Options and at most one signature, in any order.

    Raises
    ------
    LineError
        If there is something else on it, or an option's value is missing or of the wrong kind.

    Examples
    --------
    >>> parse_line("--retries 3 --name 'my square'").options.name
    'my square'
    >>> parse_line("score(x, limit=0.5) -> (label, p) --gpu").signature.results
    ('label', 'p')
    """
    values: dict[str, Any] = {}
    signature: Signature | None = None
    rest = line.strip()
    while rest:
        if rest.startswith("--"):
            rest = _take_option(rest, values)
        elif signature is None:
            signature, rest = _take_signature(rest)
        else:
            raise LineError(f"unexpected {rest!r} after the signature of {signature.name!r}")
        rest = rest.lstrip()
    return Line(Options(**values), signature)


def _take_option(rest: str, values: dict[str, Any]) -> str:
    match = _OPTION.match(rest)
    assert match is not None, "the caller saw the two dashes"
    key, rest = match["key"], rest[match.end() :]
    if key not in (*FLAGS, *VALUED):
        raise LineError(f"unknown option --{key}; the options are {', '.join(OPTIONS)}")
    if key in values:
        raise LineError(f"--{key} is given twice")
    if key in FLAGS:
        if match["equals"]:
            raise LineError(f"--{key} takes no value: it is on if it stands there")
        values[key] = True
        return rest
    value = _VALUE.match(rest)
    if value is None or (value["bare"] or "").startswith("--"):
        raise LineError(f"--{key} needs a value")
    values[key] = _convert(key, next(group for group in value.groups() if group is not None))
    return rest[value.end() :]


def _convert(key: str, text: str) -> str | int | float:
    if key == "name":
        return text
    try:
        number = int(text) if key == "retries" else float(text)
    except ValueError:
        number = -1
    if key == "retries" and number < 0:
        raise LineError(f"--retries takes a whole number, 0 or more, not {text!r}")
    if key == "timeout" and not 0 < number < float("inf"):
        raise LineError(f"--timeout takes a number of seconds above 0, not {text!r}")
    return number


def _take_signature(rest: str) -> tuple[Signature, str]:
    definition, text = _parse_definition(rest)
    rest = rest[len(text) :]
    match = _RESULT.match(rest)
    if match is None:
        raise LineError(
            f"name the result: {text} -> VARIABLE, where VARIABLE (or (A, B)) is assigned in the cell"
        )
    listed = unicodedata.normalize("NFKC", match["many"] or match["bare"] or "")  # as Python reads names
    names = tuple(name.strip() for name in listed.split(","))
    for name in names:
        if not name.isidentifier():
            raise LineError(
                f"after -> stands the variable that holds the result, or several as (a, b), "
                f"not {match[0].strip()[2:].strip()!r}"
            )
    return Signature(definition.name, text, names), rest[match.end() :]


def _parse_definition(rest: str) -> tuple[ast.FunctionDef, str]:
    for match in re.finditer(r"\)", rest):
        text = rest[: match.end()]
        try:
            parsed = ast.parse(f"def {text}: pass")
        except (SyntaxError, ValueError):
            continue
        if len(parsed.body) == 1 and isinstance(parsed.body[0], ast.FunctionDef):
            return parsed.body[0], text
    word = rest.split()[0]
    if "(" in rest:
        raise LineError(f"{rest!r} is no signature of a function, such as score(image, limit=0.5) -> label")
    raise LineError(
        f"unexpected {word!r}: what may stand here are the options {', '.join(OPTIONS)}, "
        f"or a signature such as score(image, limit=0.5) -> label"
    )
