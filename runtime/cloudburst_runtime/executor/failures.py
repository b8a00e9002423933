"""An exception of user code as a `Failure`: with a traceback that shows the cell's own lines."""

from __future__ import annotations

import linecache
import pickle
import traceback
from types import TracebackType

from cloudburst_runtime.errors import CloudburstError, ErrorKinds
from cloudburst_runtime.executor.printed import sendable
from cloudburst_runtime.messages import Failure
from cloudburst_runtime.values import Value, dumps_by_value

TRACEBACK_CHARACTERS_MAX = 100_000


def remember_cells(cells: dict[str, str]) -> None:
    """Let tracebacks show the lines of a notebook's cells, which exist in no file here."""
    for filename, text in cells.items():
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)


def failure_of(error: BaseException, function: str, own_files: tuple[str, ...]) -> Failure:
    """The failure for an exception that came out of ``function``.

    Parameters
    ----------
    error
        What user code raised.
    function
        The function's name, for messages.
    own_files
        Source files of the runtime: their frames at the top of the traceback are left out.
    """
    text = _format(error, own_files)
    if isinstance(error, CloudburstError) and type(error).__name__ in ErrorKinds.by_name:
        return Failure(type(error).__name__, _message(error), text)
    pickled = _pickle(error)
    if pickled is None:
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        message = f"{function!r} raised {kind}, which cannot be sent back: {_message(error)}"
        return Failure("SerializationError", message, text)
    return Failure("user", _message(error), text, pickled)


def _message(error: BaseException) -> str:
    try:
        return sendable(str(error)[:2000])
    except Exception as second:  # an exception's own __str__ may fail
        return f"<no message: {type(second).__name__} in __str__>"


def _format(error: BaseException, own_files: tuple[str, ...]) -> str:
    frames = _user_frames(error.__traceback__, own_files)
    try:
        lines = traceback.format_exception(type(error), error, frames)
    except Exception:  # a __str__ or __repr__ that fails in the midst of formatting
        lines = [*traceback.format_tb(frames), f"{type(error).__qualname__}: {_message(error)}\n"]
    text = sendable("".join(lines).rstrip())
    if len(text) <= TRACEBACK_CHARACTERS_MAX:
        return text
    half = TRACEBACK_CHARACTERS_MAX // 2
    return f"{text[:half]}\n…\n{text[-half:]}"


def _user_frames(frames: TracebackType | None, own_files: tuple[str, ...]) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename in own_files:
        frames = frames.tb_next
    return frames


def _pickle(error: BaseException) -> Value | None:
    """The exception as bytes that are known to decode, or None.

    Many exception classes pickle and then fail to unpickle, because their ``__init__`` takes other
    arguments than ``args``; so it is tried here rather than at the caller.
    """
    chain = error.__cause__, error.__context__, error.__traceback__
    try:
        data = dumps_by_value(error)
        again = pickle.loads(data)
        return Value(data) if type(again) is type(error) or _same_class(again, error) else None
    except BaseException:
        return None
    finally:
        error.__cause__, error.__context__ = chain[0], chain[1]
        error.__traceback__ = chain[2]


def _same_class(again: BaseException, error: BaseException) -> bool:
    return isinstance(again, BaseException) and type(again).__qualname__ == type(error).__qualname__
