"""The command line: arguments in, exit status out. What is done lies elsewhere, imported when asked for.

An error is one line on stderr that begins with ``cloudburst-nb:``, then its detail. Exit status: 0 only if
all that was asked for was done, 1 if it failed, 2 if the request itself is at fault, 3 if a time was over,
4 if a verification found a difference, 130 if interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = "cloudburst-nb"
FAILED, USAGE, INTERRUPTED = 1, 2, 130
GUARD = "\0"
"""Put before a parameter's value that looks like an option; no real argument can contain it."""


class Parser(argparse.ArgumentParser):
    """argparse, with this program's form of errors."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{PROGRAM}: {message}\n{self.format_usage()}")
        raise SystemExit(USAGE)


class Version(argparse.Action):
    """``--version``, looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(PROGRAM, version(PROGRAM))
        except PackageNotFoundError:
            print(PROGRAM, "(not installed)")
        raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        The arguments; None: those of the process.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    SystemExit
        With status 2 if the arguments cannot be parsed, with 0 after ``--help`` and ``--version``.

    Examples
    --------
    >>> main(["run", "nowhere.ipynb"])  # doctest: +SKIP
    2
    """
    _open_standard_streams()
    arguments = _parser().parse_args(_guard(sys.argv[1:] if argv is None else list(argv)))
    from cloudburst_nb.headless.errors import UsageError
    from cloudburst_runtime.errors import CloudburstError

    try:
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except UsageError as error:
        return _complain(str(error), error.detail, USAGE)
    except CloudburstError as error:
        first, _, detail = str(error).partition("\n")
        return _complain(first, detail, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", "", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the flush at exit complains again
        return FAILED


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM, description="Cells become functions: run notebooks and runtimes of cloudburst-nb."
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_export(commands)
    _add_runtime(commands)
    _add_kv(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="execute notebooks headless",
        description="Execute notebooks, each in a kernel of its own, and write them with their outputs.",
        epilog="exit status: 0 every cell ran; 1 a cell failed; 2 bad request; 3 a time was over; "
        "130 interrupted. The executed notebook is written in every case but 2.",
    )
    run.add_argument("notebooks", metavar="NOTEBOOK", type=Path, nargs="+")
    run.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file, or for several notebooks a folder; default: beside the input, as NAME.out.ipynb",
    )
    run.add_argument("--inplace", action="store_true", help="write over the input")
    run.add_argument("--html", action="store_true", help="also write a self-contained page")
    run.add_argument(
        "--markdown", action="store_true", help="also write Markdown, with its pictures beside it"
    )
    run.add_argument("--results", action="store_true", help="print the text outputs at the end")
    run.add_argument("--json", action="store_true", help="print one JSON object a notebook at the end")
    run.add_argument("-j", "--jobs", metavar="N", type=_count, default=1, help="so many notebooks at once")
    _add_what_runs(run)
    run.set_defaults(command=_run)


def _add_what_runs(parser: Any) -> None:
    """The options that say what is executed, and how."""
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a name of the cell tagged `parameters`; VALUE is a Python literal, or else a string",
    )
    parser.add_argument(
        "-y", "--parameters", metavar="FILE", type=Path, help="a YAML file of names and values; -p goes first"
    )
    parser.add_argument(
        "--cells", metavar="WHICH", help="execute these only, such as 1-5,tag:train (parameters always are)"
    )
    parser.add_argument("--timeout", metavar="S", type=_seconds, help="seconds that each cell may take")
    parser.add_argument(
        "--total-timeout", metavar="S", type=_seconds, help="seconds that all cells together may take"
    )
    parser.add_argument("--allow-errors", action="store_true", help="go on after a cell that raised")
    parser.add_argument(
        "--executors", metavar="N|MIN:MAX", type=_executors, help="of its runtime, whatever the notebook says"
    )
    parser.add_argument("--state-dir", metavar="DIR", help="durable state there, whatever the notebook says")
    parser.add_argument(
        "--seed", metavar="N", type=_whole, help="random numbers that follow from N and from the call alone"
    )
    parser.add_argument("--kernel", metavar="NAME", help="default: the notebook's own")


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write a notebook's functions and DAGs as a Python package",
        description="Execute a notebook, and write the functions and DAGs that it registered as an "
        "importable package with a manifest, for `serve` or for any Python program.",
    )
    export.add_argument("notebook", metavar="NOTEBOOK", type=Path)
    export.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="the package's folder"
    )
    _add_what_runs(export)
    export.set_defaults(command=_export)


def _add_runtime(commands: Any) -> None:
    up = commands.add_parser("up", help="start a runtime that stays until `down`; prints its address")
    up.add_argument("--foreground", action="store_true", help="stay, and end the runtime on Ctrl-C")
    up.set_defaults(command=_from_runtime("up"))
    serve = commands.add_parser(
        "serve",
        help="start a runtime with the functions of an exported package, and stay with it until Ctrl-C",
        description="Start a runtime, register the functions and DAGs that `export` wrote, print its "
        "address, and stay until SIGINT or SIGTERM.",
    )
    serve.add_argument("directory", metavar="DIR", type=Path)
    serve.set_defaults(command=_from_runtime("serve"))
    for starts in (up, serve):
        _add_settings(starts)
    call = commands.add_parser("call", help="call a function or DAG of a runtime, and print its result")
    call.add_argument("--address", metavar="ADDRESS", help="default: the last one started by `up` or `serve`")
    call.add_argument("--timeout", metavar="S", type=_seconds, help="seconds that the call may take")
    call.add_argument("name", metavar="NAME")
    call.add_argument(
        "values", metavar="ARG", nargs="*", help="Python literals, or else strings; NAME=VALUE by name"
    )
    call.set_defaults(command=_from_runtime("call"))
    for name, told in (("status", "show a runtime"), ("down", "end a runtime")):
        command = commands.add_parser(name, help=told)
        command.add_argument(
            "address", metavar="ADDRESS", nargs="?", help="default: the last one started by `up`"
        )
        command.set_defaults(command=_from_runtime(name))


def _add_settings(up: Any) -> None:
    """What a runtime is started with."""
    up.add_argument(
        "--executors", metavar="N|MIN:MAX", type=_executors, help="how many processes run functions"
    )
    up.add_argument("--state-dir", metavar="DIR", help="durable state: refused in this version")
    up.add_argument(
        "--seed", metavar="N", type=_whole, help="random numbers that follow from N and from the call alone"
    )
    up.add_argument(
        "--listen",
        metavar="tcp://HOST:PORT",
        help="let clients on other hosts in, encrypted, with the key file that is printed; port 0 picks one",
    )


def _add_kv(commands: Any) -> None:
    kv = commands.add_parser("kv", help="read and write the store")
    actions = kv.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, told in (
        ("get", "print the value of a key"),
        ("put", "set a key to a Python literal, or else a string"),
        ("keys", "list the keys"),
        ("delete", "delete keys"),
    ):
        action = actions.add_parser(name, help=told)
        action.add_argument("--address", metavar="ADDRESS", help="default: the last one started by `up`")
        action.set_defaults(command=_from_runtime(f"kv_{name}"))
        if name == "keys":
            action.add_argument("prefix", metavar="PREFIX", nargs="?", default="")
        else:
            action.add_argument("key", metavar="KEY", nargs="+" if name == "delete" else None)
        if name == "put":
            action.add_argument("value", metavar="VALUE")
            action.add_argument(
                "--lattice", metavar="TYPE", help="set, max, counter, priority, map[counter], …"
            )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _executors(text: str) -> int | tuple[int, int]:
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive number N nor MIN:MAX")
    numbers = [int(part) for part in parts]
    if numbers != sorted(numbers):
        raise argparse.ArgumentTypeError(f"{text!r}: the minimum is above the maximum")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _run(arguments: argparse.Namespace) -> int:
    from cloudburst_nb.headless.run import run

    if arguments.inplace and arguments.output is not None:
        return _complain("--inplace and -o exclude each other", "", USAGE)
    return run(_requests(arguments), arguments.jobs, arguments.json)


def _export(arguments: argparse.Namespace) -> int:
    from cloudburst_nb.headless.exporting import export
    from cloudburst_nb.headless.run import Request

    return export(Request(notebook=arguments.notebook, **_what_runs(arguments)), arguments.output)


def _requests(arguments: argparse.Namespace) -> list[Any]:
    from cloudburst_nb.headless.run import Request

    what = _what_runs(arguments)
    several = len(arguments.notebooks) > 1 and arguments.output is not None
    return [
        Request(
            notebook=notebook,
            out=os.path.join(arguments.output, notebook.name) if several else arguments.output,
            inplace=arguments.inplace,
            html=arguments.html,
            markdown=arguments.markdown,
            results=arguments.results,
            **what,
        )
        for notebook in arguments.notebooks
    ]


def _what_runs(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request that `_add_what_runs` asks for."""
    from cloudburst_nb.headless.parameters import parse_pairs, read_yaml

    pairs = [(name, value.removeprefix(GUARD)) for name, value in arguments.parameter]
    values = {} if arguments.parameters is None else read_yaml(arguments.parameters)
    values.update(parse_pairs(pairs))
    return {
        "parameters": values,
        "kernel": arguments.kernel,
        "timeout_s": arguments.timeout,
        "total_timeout_s": arguments.total_timeout,
        "cells": arguments.cells,
        "allow_errors": arguments.allow_errors,
        "executors": arguments.executors,
        "state_dir": None if arguments.state_dir is None else os.path.abspath(arguments.state_dir),
        "seed": arguments.seed,
    }


def _from_runtime(name: str) -> Callable[[argparse.Namespace], int]:
    """The command ``name`` of `cloudburst_nb.commands`, imported when it is run."""

    def command(arguments: argparse.Namespace) -> int:
        from cloudburst_nb import commands

        return int(getattr(commands, name)(arguments))

    return command


def _guard(argv: list[str]) -> list[str]:
    """Mark the values of ``-p NAME VALUE`` that begin with a dash, which argparse would take for options.

    Examples
    --------
    >>> _guard(["run", "-p", "rate", "-1e-3"])
    ['run', '-p', 'rate', '\\x00-1e-3']
    """
    guarded, value = list(argv), 0
    for position, argument in enumerate(argv):
        if argument in ("-p", "--parameter") and position > value:
            value = position + 2
            if value < len(argv) and argv[value].startswith("-"):
                guarded[value] = GUARD + argv[value]
    return guarded


def _open_standard_streams() -> None:
    """Give a process that was started with closed standard streams silent ones in their place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _complain(line: str, detail: str, status: int) -> int:
    sys.stderr.write(f"{PROGRAM}: {line}\n{detail.rstrip() + chr(10) if detail.strip() else ''}")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
