"""Measuring several things side by side: interleaved, repeated, and with the spread shown.

A round takes a block of samples of each contender in turn, so that a machine that slows down slows all of
them; the spread over the rounds' medians says how noisy the run was.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Figures(NamedTuple):
    """Seconds: percentiles over all samples, and the range of the rounds' medians."""

    p50: float
    p95: float
    p99: float
    low: float
    high: float

    def ratio(self, to: Figures) -> float:
        """This median as a multiple of another's."""
        return self.p50 / to.p50


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int = 7, block: int = 400
) -> dict[str, Figures]:
    """Time each contender's call, block by block in turn."""
    samples: dict[str, list[list[float]]] = {name: [] for name in contenders}
    for call in contenders.values():
        for _ in range(max(10, block // 10)):
            call()
    for _ in range(rounds):
        for name, call in contenders.items():
            samples[name].append(_block(call, block))
    return {name: _figures(blocks) for name, blocks in samples.items()}


def _block(call: Callable[[], object], count: int) -> list[float]:
    clock = time.perf_counter
    times = []
    for _ in range(count):
        start = clock()
        call()
        times.append(clock() - start)
    return times


def _figures(blocks: list[list[float]]) -> Figures:
    every = sorted(time for block in blocks for time in block)
    medians = [statistics.median(block) for block in blocks]
    return Figures(
        every[len(every) // 2],
        every[int(len(every) * 0.95)],
        every[int(len(every) * 0.99)],
        min(medians),
        max(medians),
    )


def micros(seconds: float) -> str:
    """Seconds for a table, in microseconds."""
    return f"{seconds * 1e6:8.1f}"
