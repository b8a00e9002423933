"""What user code prints, kept per call: Python's own streams, and what C code and subprocesses write.

``sys.stdout`` and ``sys.stderr`` become `Printed` streams; file descriptors 1 and 2 become files in memory
that are looked at after each call. What is kept of one call is bounded: its beginning and its end.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterable


def sendable(text: str) -> str:
    """The text with what no message can hold (lone surrogates) spelled out.

    Examples
    --------
    >>> sendable("ü" + chr(0xD800))
    'ü\\\\ud800'
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


class Printed(io.TextIOBase):
    """A text stream that keeps what is written, up to ``bytes_max`` characters: the first and last halves.

    Examples
    --------
    >>> stream = Printed(1, 10)
    >>> stream.write("hello")
    5
    >>> stream.take()
    'hello'
    >>> stream.take()
    ''
    """

    def __init__(self, fd: int, bytes_max: int) -> None:
        super().__init__()
        self._fd = fd
        self._half = bytes_max // 2
        self.parts: list[str] = []
        self._size = 0
        self._tail: list[str] = []
        self._tail_size = 0
        self._dropped = 0
        self.buffer = _Bytes(self)

    encoding = "utf-8"
    errors = "replace"

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._size + len(text) <= self._half:
            self.parts.append(text)
            self._size += len(text)
        else:
            self._write_tail(text)
        return len(text)

    def _write_tail(self, text: str) -> None:
        room = self._half - self._size
        if room > 0:
            self.parts.append(text[:room])
            self._size += room
        self._tail.append(text[room:] if room > 0 else text)
        self._tail_size += len(self._tail[-1])
        if self._tail_size > 2 * self._half:
            kept = "".join(self._tail)[-self._half :]
            self._dropped += self._tail_size - len(kept)
            self._tail, self._tail_size = [kept], len(kept)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def peek(self) -> str:
        """What was written since the last `take`."""
        return sendable(self._text())

    def _text(self) -> str:
        head = "".join(self.parts)
        if not self._tail:
            return head
        tail = "".join(self._tail)
        dropped = self._dropped + max(0, len(tail) - self._half)
        tail = tail[-self._half :]
        return f"{head}\n… {dropped} characters left out …\n{tail}" if dropped else head + tail

    def take(self) -> str:
        """What was written since the last `take`, and begin anew."""
        if not self.parts and not self._tail:
            return ""
        text = self.peek()
        self.parts, self._tail = [], []
        self._size = self._tail_size = self._dropped = 0
        return text

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The next call prints, too."""


class _Bytes(io.RawIOBase):
    """``sys.stdout.buffer``: bytes written there are text of the same stream."""

    def __init__(self, stream: Printed) -> None:
        super().__init__()
        self._stream = stream

    def write(self, data: object) -> int:
        raw = bytes(data)  # type: ignore[call-overload]
        self._stream.write(raw.decode("utf-8", "replace"))
        return len(raw)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()


class Streams:
    """Both streams of an executor, and the descriptors below them."""

    def __init__(self, bytes_max: int) -> None:
        self.stdout = Printed(1, bytes_max)
        self.stderr = Printed(2, bytes_max)
        self._bytes_max = bytes_max
        self._files: dict[int, int] = {}

    def install(self) -> None:
        """Become the process's stdout and stderr."""
        sys.stdout, sys.stderr = self.stdout, self.stderr
        self._files = {1: _memory_file(), 2: _memory_file()}
        self._restore()

    def _restore(self) -> None:
        """Undo what user code did to the descriptors."""
        for fd, file in self._files.items():
            os.dup2(file, fd)

    def take(self) -> tuple[str, str]:
        """What the call that just ended has printed."""
        sys.stdout, sys.stderr = self.stdout, self.stderr
        if self._files:
            try:
                written = os.lseek(1, 0, os.SEEK_CUR) or os.lseek(2, 0, os.SEEK_CUR)
            except OSError:  # user code closed one
                written = 1
            if written:
                self.stdout.write(self._take_raw(self._files[1]))
                self.stderr.write(self._take_raw(self._files[2]))
                self._restore()
        out, err = self.stdout, self.stderr
        if not (out.parts or err.parts or out._tail or err._tail):
            return "", ""
        return out.take(), err.take()

    def _take_raw(self, fd: int) -> str:
        size, half = os.lseek(fd, 0, os.SEEK_CUR), self._bytes_max // 2
        if not size:
            return ""
        if size <= self._bytes_max:
            text = os.pread(fd, size, 0).decode("utf-8", "replace")
        else:
            head, tail = os.pread(fd, half, 0), os.pread(fd, half, size - half)
            left_out = f"\n… {size - 2 * half} characters left out …\n"
            text = head.decode("utf-8", "replace") + left_out + tail.decode("utf-8", "replace")
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        return text


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("cloudburst-printed")
    file = tempfile.TemporaryFile()  # noqa: SIM115  (its descriptor is all that is kept)
    return os.dup(file.fileno())
