"""The command line: arguments in, exit status out. What is done lies elsewhere, imported when asked for.

An error is one line on stderr that begins with ``cloudburst-nb:``, then its detail. Exit status: 0 only if
all that was asked for was done, 1 if it failed, 2 if the request itself is at fault, 3 if a time was over,
4 if a verification found a difference, 130 if interrupted.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cloudburst_nb import options

PROGRAM = "cloudburst-nb"
FAILED, USAGE, INTERRUPTED = 1, 2, 130


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
    if "notebook" in arguments or "notebooks" in arguments:
        _compile_no_grammars()
    from cloudburst_nb.headless.errors import UsageError
    from cloudburst_runtime.errors import CloudburstError

    try:
        command: Callable[[argparse.Namespace], int] = arguments.command
        status = command(arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        return _complain(str(error), error.detail, USAGE)
    except CloudburstError as error:
        first, _, detail = str(error).partition("\n")
        return _complain(first, detail, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", "", INTERRUPTED)
    except BrokenPipeError:
        _write_nothing_more()
        return FAILED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _write_nothing_more()
        return _complain("there is no room for what is written", str(error), FAILED)


def _compile_no_grammars() -> None:
    """Let nbformat's import find no `rfc3987_syntax`, which JupyterLab brings along.

    jsonschema would have it compile grammars for more than a second, to check IRIs; no notebook has one. The
    notebook's own code runs in another process, and finds it.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def _write_nothing_more() -> None:
    """Else the flush at exit complains again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM, description="Cells become functions: run notebooks and runtimes of cloudburst-nb."
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_records(commands)
    _add_report(commands)
    _add_export(commands)
    _add_runtime(commands)
    _add_store(commands)
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
    run.add_argument("-j", "--jobs", metavar="N", type=options.count, default=1, help="so many at once")
    run.add_argument(
        "--record",
        metavar="DIR",
        type=Path,
        help="record the run there; for several notebooks, in a folder for each below it",
    )
    options.add_what_runs(run)
    run.set_defaults(command=_run)


def _add_records(commands: Any) -> None:
    record = commands.add_parser(
        "record",
        help="execute a notebook and record what determines the run",
        description="Execute a notebook headless, and write a record, for `verify` and `replay`.",
        epilog="exit status: as of run.",
    )
    record.add_argument("notebook", metavar="NOTEBOOK", type=Path)
    record.add_argument("-o", "--output", metavar="DIR", type=Path, help="default: beside it, as NAME.record")
    record.add_argument("--json", action="store_true", help="print a JSON object at the end")
    options.add_what_runs(record)
    record.set_defaults(command=_from("headless.verifying", "record_command"))
    verify = commands.add_parser(
        "verify",
        help="execute a notebook and compare what it shows with a record",
        description="Execute a notebook as it was recorded, compare what each cell shows by content, and "
        "print a table. Cells tagged `nondeterministic` are skipped.",
        epilog="exit status: 0 all the same; 4 something differs; 2 bad request; 3 a time was over; "
        "130 interrupted.",
    )
    verify.add_argument("notebook", metavar="NOTEBOOK", type=Path)
    verify.add_argument("--against", metavar="RECORD", type=Path, required=True)
    options.add_tolerance(verify)
    verify.add_argument("--json", action="store_true", help="print a JSON object instead of the table")
    options.add_what_runs(verify)
    verify.set_defaults(command=_from("headless.verifying", "verify_command"))
    replay = commands.add_parser(
        "replay",
        help="execute the calls of a record again, each from what it was given and told",
        description="Execute every recorded call again, without its notebook, and tell the first divergence.",
        epilog="exit status: 0 all came out as they did; 4 something diverged; 2 bad request.",
    )
    replay.add_argument("record", metavar="RECORD", type=Path)
    replay.add_argument(
        "--speed", action="store_true", help="make the calls again in a runtime, and compare latencies"
    )
    replay.add_argument("--all", action="store_true", help="tell every divergence, not just the first")
    options.add_tolerance(replay)
    replay.add_argument("--json", action="store_true", help="print a JSON object at the end")
    replay.set_defaults(command=_from("headless.replays", "replay_command"))


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        help="make one HTML page of a record",
        description="Write a record as one self-contained page: cells, figures, DAGs, functions, timings.",
    )
    report.add_argument("record", metavar="RECORD", type=Path)
    report.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: beside it, as NAME.html")
    report.set_defaults(command=_from("headless.reports", "report_command"))


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
    options.add_what_runs(export)
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
    call.add_argument("--timeout", metavar="S", type=options.seconds, help="seconds that the call may take")
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


def _add_store(commands: Any) -> None:
    store = commands.add_parser(
        "store",
        help="keep a share of a runtime's keys on this host, which may be another one than the runtime's",
        description="Join a runtime that listens as one more of its stores, and take over a share of its "
        "keys. SIGTERM or Ctrl-C: hand everything over, then end; a second one: end at once. With a "
        "--state-dir, what it has then is there when it is started again.",
        epilog="exit status: 0 all was handed over; 1 the runtime is gone, gave this store up or refused it; "
        "2 bad request.",
    )
    store.add_argument(
        "--connect",
        metavar="ADDRESS",
        required=True,
        help="tcp://HOST:PORT, as `up --listen` prints it on the runtime's host",
    )
    store.add_argument("--key-file", metavar="FILE", required=True, help="a copy of the runtime's key file")
    store.add_argument(
        "--memory", metavar="BYTES", type=options.count, help="for values; the others go to this host's disk"
    )
    store.add_argument(
        "--state-dir",
        metavar="DIRECTORY",
        help="keep it on disk here, for when this is started again: for a runtime with a state_dir",
    )
    store.set_defaults(command=_from("commands", "store"))


def _add_settings(up: Any) -> None:
    """What a runtime is started with."""
    up.add_argument(
        "--executors",
        metavar="N|MIN:MAX",
        type=options.executors,
        help="how many processes run functions; N: more when calls wait",
    )
    up.add_argument(
        "--stores", metavar="N|MIN:MAX", type=options.executors, help="how many processes keep keys"
    )
    up.add_argument(
        "--replication", metavar="N", type=options.count, help="how many of them keep each key; 2 by default"
    )
    up.add_argument("--state-dir", metavar="DIR", help="a directory for state that outlives the runtime")
    up.add_argument(
        "--seed", metavar="N", type=options.whole, help="random numbers that follow from N and the call"
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
        ("get-set", "print the elements of a set, one a line"),
        ("put-set", "add elements, Python literals or else strings, to a set"),
        ("keys", "list the keys"),
        ("history", "list the versions of a key, the latest first"),
        ("delete", "delete keys"),
        ("replicate", "say how many stores keep a key"),
        ("nodes", "list the processes that keep keys"),
        ("stats", "say how many keys and bytes they have together, and how they are shared"),
    ):
        action = actions.add_parser(name, help=told)
        action.add_argument("--address", metavar="ADDRESS", help="default: the last one started by `up`")
        action.set_defaults(command=_from_runtime(f"kv_{name.replace('-', '_')}"))
        if name == "keys":
            action.add_argument("prefix", metavar="PREFIX", nargs="?", default="")
        elif name not in ("nodes", "stats"):
            action.add_argument("key", metavar="KEY", nargs="+" if name == "delete" else None)
        if name == "get":
            action.add_argument("--version", metavar="N", type=int, help="an earlier one, as `history` says")
            action.add_argument("--lattice", metavar="TYPE", help="which to read, if two types lie there")
        if name == "replicate":
            action.add_argument("copies", metavar="N", help="or `default`: as many as any other key")
        if name == "put-set":
            action.add_argument("elements", metavar="ELEMENT", nargs="+")
        if name == "put":
            action.add_argument("value", metavar="VALUE", help="- reads it from the standard input")
            action.add_argument(
                "--lattice", metavar="TYPE", help="set, max, counter, priority, map[counter], …"
            )


def _run(arguments: argparse.Namespace) -> int:
    from cloudburst_nb.headless.run import run

    if arguments.inplace and arguments.output is not None:
        return _complain("--inplace and -o exclude each other", "", USAGE)
    several = len(arguments.notebooks) > 1 and arguments.output is not None
    requests = [
        options.request_of(
            arguments,
            notebook,
            out=os.path.join(arguments.output, notebook.name) if several else arguments.output,
            inplace=arguments.inplace,
            html=arguments.html,
            markdown=arguments.markdown,
            results=arguments.results,
            record=options.record_of(arguments, notebook),
        )
        for notebook in arguments.notebooks
    ]
    return run(requests, arguments.jobs, arguments.json)


def _export(arguments: argparse.Namespace) -> int:
    from cloudburst_nb.headless.exporting import export

    return export(options.request_of(arguments, arguments.notebook), arguments.output)


def _from_runtime(name: str) -> Callable[[argparse.Namespace], int]:
    """The command ``name`` of `cloudburst_nb.commands`."""
    return _from("commands", name)


def _from(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """The command ``name`` of a module of this package, imported when it is run."""

    def command(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        return int(getattr(import_module(f"cloudburst_nb.{module}"), name)(arguments))

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
                guarded[value] = options.GUARD + argv[value]
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
