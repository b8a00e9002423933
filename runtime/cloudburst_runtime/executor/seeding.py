"""Random numbers that follow from the call and not from where, when or beside what it runs.

Law: with a seed N, what ``random`` and ``numpy.random`` give a call depends on N, on which call of its
client it is, and on its function's place in the DAG, and on nothing else: not on the executor, on the
attempt, or on the calls before it. A class is built with numbers that depend on N and on the class alone,
since which call finds it unbuilt is a matter of placement. Of a batch, its first call decides.

Not covered: generators that take their seed from the operating system by another way (``secrets``,
``uuid.uuid4``, ``numpy.random.RandomState()``), and user code that draws from several threads at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from cloudburst_runtime.executor.tasks import Task
from cloudburst_runtime.imported import imported

NUMPY_SEED_MAX = 2**32 - 1


def derive(seed: int, *what: object) -> int:
    """A number from 0 to 2⁶⁴ - 1 that differs for each ``what``.

    Examples
    --------
    >>> derive(1, "call", 7) == derive(1, "call", 7), derive(1, "call", 7) == derive(1, "call", 8)
    (True, False)
    """
    text = "\0".join(map(str, (seed, *what)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


class Seeds:
    """Seeds the generators of this process for what is to run next.

    Parameters
    ----------
    seed
        The runtime's.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def for_task(self, task: Task) -> None:
        """The next to run is ``task``."""
        sources = [trigger.source for trigger in task.inputs]
        self._sow(derive(self._seed, "call", task.id.number, task.id.node, *sources))

    def for_class(self, name: str, version: int) -> None:
        """The next to run is the ``__init__`` of a class."""
        self._sow(derive(self._seed, "class", name, version))

    def _sow(self, seed: int) -> None:
        random.seed(seed)
        numpy = imported("numpy", "random")
        if numpy is not None:
            numpy.random.seed(seed % NUMPY_SEED_MAX)
            _take_over(numpy.random, random.Random(seed))


def _take_over(module: Any, own: random.Random) -> None:
    """``numpy.random.default_rng()`` without a seed asks the operating system: here it asks us."""
    made = module.default_rng
    if type(made) is not _DefaultRng:
        made = module.default_rng = _DefaultRng(made)
    made.own = own


class _DefaultRng:
    """``numpy.random.default_rng``, that draws a seed from ``own`` when it is given none."""

    own: random.Random

    def __init__(self, made: Callable[[Any], Any]) -> None:
        self.__doc__ = made.__doc__
        self._made = made

    def __call__(self, seed: Any = None) -> Any:
        return self._made(self.own.getrandbits(64) if seed is None else seed)
