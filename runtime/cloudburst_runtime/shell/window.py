"""A view of mapped memory that keeps a hold on it for as long as anything refers to it.

A module of its own, because it needs NumPy: before Python 3.12 no class of ours can be what a memoryview
is a view of, and NumPy's arrays can.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


class Window(np.ndarray[Any, np.dtype[np.uint8]]):
    """Bytes of a mapping, and the hold on them."""

    hold: object


def window(memory: mmap.mmap, offset: int, size: int, hold: object) -> memoryview:
    """A read-only view of ``size`` bytes; ``hold`` lives as long as it, and as any view of it, does.

    Examples
    --------
    >>> with mmap.mmap(-1, 4096) as memory:
    ...     view = window(memory, 0, 10, hold=object())
    ...     view.nbytes, view.readonly
    ...     view.release()
    (10, True)
    """
    made: Window = np.frombuffer(memory, np.uint8, size, offset).view(Window)
    made.hold = hold
    return memoryview(made).toreadonly()  # type: ignore[arg-type]  # the stubs think of newer Pythons
