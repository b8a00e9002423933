"""What is computed: the functions that all contenders run, and the values that they store.

Law: a module that every worker can import, with nothing in it but this work.
"""

from __future__ import annotations

from typing import Any

import numpy

ARRAYS = 10
BYTES_MAX_PLAIN = 1_000


def same(x: Any) -> Any:
    """No work at all."""
    return x


def increment(x: int) -> int:
    """A little work."""
    return x + 1


def square(x: int) -> int:
    """A little work."""
    return x * x


def add(*numbers: int) -> int:
    """The sum, of what several functions return."""
    return sum(numbers)


def total(*arrays: Any) -> float:
    """The sum of all elements of some arrays."""
    return float(sum(array.sum() for array in arrays))


def value_of(size: int) -> Any:
    """A value of about so many bytes: small ones are bytes, others an array."""
    return bytes(size) if size < BYTES_MAX_PLAIN else numpy.ones(size // 8)


def new_arrays(size: int) -> list[Any]:
    """Ten arrays of so many bytes, whose sum is `sum_of_arrays`."""
    return [numpy.full(size // 8, float(index)) for index in range(ARRAYS)]


def sum_of_arrays(size: int) -> float:
    """What `total` of `new_arrays` is."""
    return float(size // 8 * sum(range(ARRAYS)))
