"""The words of ``%cloudburst``: options of ``up``, DAG expressions, arguments of ``call``.

Law: text in, plain values out. Names are looked up through a function that the caller hands in; this file
knows neither IPython nor the client, and evaluates nothing but names, strings, lists and ``>>``.
"""

from __future__ import annotations

import ast
import io
import operator
import shlex
import token
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

USAGES = {
    "up": "%cloudburst up [--executors N or MIN:MAX] [--state-dir DIR]",
    "down": "%cloudburst down",
    "connect": "%cloudburst connect ADDRESS",
    "status": "%cloudburst status",
    "list": "%cloudburst list [PREFIX]",
    "dag": "%cloudburst dag NAME a >> [b, c] >> d",
    "call": "%cloudburst call NAME ARGUMENTS…",
    "plot": "%cloudburst plot NAME [KIND] [--live]",
    "keys": "%cloudburst keys [PREFIX]",
}
UP_OPTIONS = ("--executors", "--state-dir", "--seed")
EXECUTORS_MAX = 1000

_OPENING = ("(", "[", "{")
_CLOSING = (")", "]", "}")
_FSTRING_START = getattr(token, "FSTRING_START", -1)
_FSTRING_END = getattr(token, "FSTRING_END", -1)
_BLANK = (token.NEWLINE, token.NL, token.ENDMARKER, token.INDENT, token.DEDENT)


class CommandError(ValueError):
    """The line cannot be read; the message says why, and how it should look."""


@dataclass(frozen=True)
class Up:
    """What ``up`` was asked for; None where the default is meant."""

    executors: int | tuple[int, int] | None = None
    state_dir: str | None = None
    seed: int | None = None


def split_command(line: str) -> tuple[str, str]:
    """The subcommand and the rest of the line.

    Raises
    ------
    CommandError
        If there is no such subcommand; the message has the nearest one.

    Examples
    --------
    >>> split_command("dag pipe a >> b")
    ('dag', 'pipe a >> b')
    """
    if not line.strip():
        raise CommandError("say what to do:\n  " + "\n  ".join(USAGES.values()))
    word, rest = _first_word(line.strip())
    if word in USAGES:
        return word, rest
    near = get_close_matches(word, USAGES, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise CommandError(f"there is no subcommand {word!r}{hint}\n  " + "\n  ".join(USAGES.values()))


def misused(command: str, problem: str) -> CommandError:
    """The error for a wrong use of a subcommand: the problem, then the usage line."""
    return CommandError(f"{problem}\nusage: {USAGES[command]}")


def parse_nothing(command: str, rest: str) -> None:
    """Make sure that nothing follows the subcommand."""
    if rest:
        raise misused(command, f"{command} takes no arguments, and got {rest!r}")


def parse_word(command: str, rest: str, default: str | None = None) -> str:
    """The one word that follows the subcommand; ``default`` if none may stand there too."""
    words = _words(command, rest)
    if len(words) > 1:
        raise misused(command, f"{command} takes one argument, and got {len(words)}: {' '.join(words)}")
    if words:
        return words[0]
    if default is None:
        raise misused(command, f"{command} needs an argument")
    return default


def _words(command: str, rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise misused(command, f"{rest!r} cannot be read: {error}") from None


def parse_plot(rest: str) -> tuple[str, str | None, bool]:
    """What ``plot`` was asked for: the name, the kind of figure if one is said, and whether it is to follow.

    Examples
    --------
    >>> parse_plot("square --live"), parse_plot("square over-time")
    (('square', None, True), ('square', 'over-time', False))
    """
    words = _words("plot", rest)
    names = [word for word in words if word != "--live"]
    options = [word for word in names if word.startswith("--")]
    if options:
        raise misused("plot", f"plot has no option {options[0]}")
    if not 1 <= len(names) <= 2:
        raise misused("plot", f"plot takes a name, and maybe a kind of figure; got {len(names)} words")
    return names[0], names[1] if len(names) > 1 else None, "--live" in words


# ---------------------------------------------------------------- up


def parse_up(rest: str) -> Up:
    """The options of ``up``.

    Examples
    --------
    >>> parse_up("--executors 2:8 --state-dir '/tmp/my state'")
    Up(executors=(2, 8), state_dir='/tmp/my state', seed=None)
    """
    values: dict[str, str] = {}
    words = iter(_words("up", rest))
    for word in words:
        option, equals, value = word.partition("=")
        if option not in UP_OPTIONS:
            near = get_close_matches(option, UP_OPTIONS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise misused("up", f"up does not know {word!r}{hint}")
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise misused("up", f"{option} needs a value")
        values[option] = value
    executors = values.get("--executors")
    return Up(
        _executors(executors) if executors else None, values.get("--state-dir"), _seed(values.get("--seed"))
    )


def _seed(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise misused("up", f"--seed takes a whole number, not {text!r}") from None


def _executors(text: str) -> int | tuple[int, int]:
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise misused("up", f"--executors takes a number, or two as MIN:MAX, not {text!r}")
    numbers = [int(part) for part in parts]
    if not all(1 <= number <= EXECUTORS_MAX for number in numbers):
        raise misused("up", f"--executors takes numbers from 1 to {EXECUTORS_MAX}, not {text!r}")
    if len(numbers) == 1:
        return numbers[0]
    if numbers[0] > numbers[1]:
        raise misused("up", f"--executors MIN:MAX: the minimum {numbers[0]} is over the maximum {numbers[1]}")
    return numbers[0], numbers[1]


# ---------------------------------------------------------------- dag


def parse_dag(rest: str) -> tuple[str, ast.expr]:
    """The name and the expression of ``dag``.

    Raises
    ------
    CommandError
        If either is missing, or the expression holds more than names, strings, lists and ``>>``.

    Examples
    --------
    >>> name, expression = parse_dag("pipe load >> [left, right] >> merge")
    >>> name, ast.unparse(expression)
    ('pipe', 'load >> [left, right] >> merge')
    """
    name, text = split_name("dag", rest)
    if not text:
        raise misused("dag", f"DAG {name!r} needs an expression")
    try:
        expression = ast.parse(text, "<cloudburst dag>", "eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise misused("dag", f"{text!r} is no expression of names, lists and >>") from None
    _check_expression(expression, text)
    return name, expression


def split_name(command: str, rest: str) -> tuple[str, str]:
    """The (possibly quoted) name that comes first, and the rest of the line.

    Examples
    --------
    >>> split_name("call", "'my square' 3")
    ('my square', '3')
    """
    if not rest:
        raise misused(command, f"{command} needs a name")
    if rest[0] in "'\"":
        name, quote, rest = rest[1:].partition(rest[0])
        if not quote or not name:
            raise misused(command, "the name's quotes are empty or do not close")
        return name, rest.strip()
    return _first_word(rest)


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(None, 1)
    return word, rest[0].strip() if rest else ""


def _check_expression(node: ast.expr, text: str) -> None:
    if isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return
    if isinstance(node, ast.List | ast.Tuple):
        parts = node.elts
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift):
        parts = [node.left, node.right]
        if all(isinstance(part, ast.List | ast.Tuple) for part in parts):
            raise misused("dag", f"a list cannot feed a list: {ast.unparse(node)} (put a function between)")
    else:
        what = ast.unparse(node)
        raise misused("dag", f"only names, lists and >> may stand in a DAG, not {what!r} (in {text!r})")
    for part in parts:
        _check_expression(part, text)


def build_dag(node: ast.expr, resolve: Callable[[str], Any]) -> Any:
    """Evaluate an expression of `parse_dag`; ``resolve`` gives the function of a name.

    Examples
    --------
    >>> _, expression = parse_dag("shifted a >> b")
    >>> build_dag(expression, {"a": 8, "b": 2}.__getitem__)
    2
    """
    if isinstance(node, ast.Name):
        return resolve(node.id)
    if isinstance(node, ast.Constant):
        return resolve(str(node.value))
    if isinstance(node, ast.BinOp):
        return operator.rshift(build_dag(node.left, resolve), build_dag(node.right, resolve))
    assert isinstance(node, ast.List | ast.Tuple), "parse_dag lets nothing else through"
    return [build_dag(part, resolve) for part in node.elts]


# ---------------------------------------------------------------- call


def parse_arguments(text: str) -> str:
    """The arguments of ``call`` as Python writes them, with commas.

    With a comma outside brackets the text is Python's already. Else blanks separate, as in a shell, so
    that ``1 -2`` are two arguments; where that leaves pieces that are no expressions, as in ``x + 1``,
    the whole is one argument.

    Raises
    ------
    CommandError
        If neither reading is Python.

    Examples
    --------
    >>> parse_arguments("[1, 2] 'a b' limit=3"), parse_arguments("x + 1")
    ("[1, 2], 'a b', limit=3", 'x + 1')
    """
    pieces, comma = _pieces(text)
    spaced = not comma and not any(map(_problem, pieces))
    arguments = ", ".join(pieces) if spaced else text
    problem = _problem(arguments)
    if problem:
        raise misused("call", f"the arguments {text!r} are no Python expressions: {problem}")
    return arguments


def _problem(arguments: str) -> str:
    """What keeps this from standing between the parentheses of a call; empty if nothing does."""
    try:
        parsed = ast.parse(f"f({arguments})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        return getattr(error, "msg", "") or str(error) or "too deeply nested"
    whole = isinstance(parsed, ast.Call) and isinstance(parsed.func, ast.Name)
    return "" if whole else "a bracket closes that was not opened"


def _pieces(text: str) -> tuple[list[str], bool]:
    """What blanks outside brackets and strings separate; and whether a comma stands outside them."""
    pieces: list[str] = []
    depth, end, comma = 0, -1, False
    for each in _tokens(text):
        start = each.start[1]
        if depth == 0 and start > end:
            pieces.append("")
        elif start > end:
            pieces[-1] += text[end:start]
        pieces[-1] += text[max(start, end) : each.end[1]]
        depth += _step(each)
        comma = comma or (depth == 0 and each.string == ",")
        end = each.end[1]
    return pieces, comma


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    if "\n" in text:
        raise misused("call", "the arguments must stand on one line")
    try:
        yield from (
            each for each in tokenize.generate_tokens(io.StringIO(text).readline) if each.type not in _BLANK
        )
    except (tokenize.TokenError, SyntaxError):
        raise misused("call", f"the arguments {text!r} are no Python expressions") from None


def _step(each: tokenize.TokenInfo) -> int:
    if each.type == _FSTRING_START or (each.type == token.OP and each.string in _OPENING):
        return 1
    if each.type == _FSTRING_END or (each.type == token.OP and each.string in _CLOSING):
        return -1
    return 0
