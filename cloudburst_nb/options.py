"""Options that several commands share: what they take, and the request that they make together.

Law: text in, values out, or argparse's own refusal; nothing is done here.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

GUARD = "\0"
"""Put before a parameter's value that looks like an option; no real argument can contain it."""


def add_what_runs(parser: Any) -> None:
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
    parser.add_argument("--timeout", metavar="S", type=seconds, help="seconds that each cell may take")
    parser.add_argument(
        "--total-timeout", metavar="S", type=seconds, help="seconds that all cells together may take"
    )
    parser.add_argument("--allow-errors", action="store_true", help="go on after a cell that raised")
    parser.add_argument(
        "--executors", metavar="N|MIN:MAX", type=executors, help="of its runtime, whatever the notebook says"
    )
    parser.add_argument("--state-dir", metavar="DIR", help="durable state there, whatever the notebook says")
    parser.add_argument(
        "--seed", metavar="N", type=whole, help="random numbers that follow from N and from the call alone"
    )
    parser.add_argument("--kernel", metavar="NAME", help="default: the notebook's own")


def add_tolerance(parser: Any) -> None:
    """The options that say how far numbers may be apart."""
    for name, told in (("rtol", "of the larger one"), ("atol", "at all")):
        parser.add_argument(
            f"--{name}", metavar="X", type=not_negative, default=0.0, help=f"numbers may differ by X {told}"
        )


def request_of(arguments: argparse.Namespace, notebook: Path, **more: Any) -> Any:
    """The request of one notebook, with what `add_what_runs` has added."""
    from cloudburst_nb.headless.parameters import parse_pairs, read_yaml
    from cloudburst_nb.headless.run import Request

    pairs = [(name, value.removeprefix(GUARD)) for name, value in arguments.parameter]
    values = {} if arguments.parameters is None else read_yaml(arguments.parameters)
    values.update(parse_pairs(pairs))
    return Request(
        notebook=notebook,
        parameters=values,
        kernel=arguments.kernel,
        timeout_s=arguments.timeout,
        total_timeout_s=arguments.total_timeout,
        cells=arguments.cells,
        allow_errors=arguments.allow_errors,
        executors=arguments.executors,
        state_dir=None if arguments.state_dir is None else os.path.abspath(arguments.state_dir),
        seed=arguments.seed,
        **more,
    )


def record_of(arguments: argparse.Namespace, notebook: Path) -> Path | None:
    """Where the run of a notebook is recorded, if it is."""
    folder: Path | None = arguments.record
    if folder is None or len(arguments.notebooks) == 1:
        return folder
    return folder / notebook.stem


def seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def executors(text: str) -> int | tuple[int, int]:
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive number N nor MIN:MAX")
    numbers = [int(part) for part in parts]
    if numbers != sorted(numbers):
        raise argparse.ArgumentTypeError(f"{text!r}: the minimum is above the maximum")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def not_negative(text: str) -> float:
    """A number that is not below zero."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return number
