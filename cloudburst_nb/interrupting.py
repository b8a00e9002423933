"""What a notebook shows of a wait that was interrupted: the user's line, and none of what waited.

Law: an exception is marked where it comes into being; IPython, which asks exceptions for their rendering,
shows it without the frames of this package and of IPython itself. Elsewhere a mark changes nothing.
"""

from __future__ import annotations

import functools
import os
import sys
from types import TracebackType
from typing import Any

import cloudburst_runtime

OWN = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep for path in (__file__, str(cloudburst_runtime.__file__))
)


def shorten(error: BaseException) -> None:
    """Let a notebook show this exception down to the user's line only."""
    error._render_traceback_ = functools.partial(_rendered, error)  # type: ignore[attr-defined]


def _rendered(error: BaseException) -> list[str]:
    """As IPython would, in the user's colours and mode, of the frames that are the user's."""
    shell: Any = sys.modules["IPython"].get_ipython()
    ipython = os.path.dirname(str(sys.modules["IPython"].__file__)) + os.sep
    frames = theirs(error.__traceback__, (*OWN, ipython))
    lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, frames, tb_offset=0)
    return lines


def theirs(frames: TracebackType | None, own: tuple[str, ...] = OWN) -> TracebackType | None:
    """The frames of a traceback whose files lie in none of these directories.

    Examples
    --------
    >>> theirs(None) is None
    True
    """
    if frames is None:
        return None
    rest = theirs(frames.tb_next, own)
    if frames.tb_frame.f_code.co_filename.startswith(own):
        return rest
    return TracebackType(rest, frames.tb_frame, frames.tb_lasti, frames.tb_lineno)
