"""What the load asks for: how many stores, and which keys on more of them.

Law: pure functions over what the stores have reported; all thresholds are in the configuration. Whatever
is raised is lowered again only when half of what raised it is left, and that for a while: so that nothing
swings, neither at a steady load nor at one that comes in bursts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cloudburst_runtime.config import Config
from cloudburst_runtime.ids import Millis
from cloudburst_runtime.messages import StoreStats

RAISED_MAX = 256
"""Keys that may be kept by more stores than the others."""


def stores_wanted(stats: Sequence[StoreStats], config: Config, more: int = 0) -> int:
    """How many stores there should be: one more, one less, or as many as there are.

    Parameters
    ----------
    stats
        The latest report of each store.
    config
        For ``stores_min``, ``stores_max`` and the thresholds.
    more
        How many more there are than load and size decide about: both limits are higher by so many.

    Examples
    --------
    >>> config = Config(stores_max=3, store_operations_high_per_s=100.0)
    >>> busy = StoreStats("node", keys=5, nbytes=0, operations=240, span_ms=2000.0)
    >>> stores_wanted([busy], config)
    2
    """
    count = len(stats)
    rate = sum(map(operations_per_s, stats))
    nbytes = sum(each.nbytes for each in stats)
    high_rate, high_bytes = config.store_operations_high_per_s, config.store_bytes_high
    if rate > high_rate * count or nbytes > high_bytes * count:
        wanted = count + 1
    elif max(rate / high_rate, nbytes / high_bytes) < config.store_low_share * (count - 1):
        wanted = count - 1
    else:
        wanted = count
    return max(config.stores_min + more, min(config.stores_max + more, wanted))


def factors(stats: Sequence[StoreStats], raised: Mapping[str, int], config: Config) -> dict[str, int]:
    """The keys that should be kept by more stores than the replication factor says, and by how many.

    Parameters
    ----------
    stats
        The latest report of each store, with its most used keys.
    raised
        What is raised now.

    Examples
    --------
    >>> config = Config(replication=2, hot_key_operations_per_s=100.0)
    >>> stats = [StoreStats(f"s{n}", 1, 10, 900, 2000.0, {"k": 500}) for n in range(4)]
    >>> factors(stats, {}, config)
    {'k': 4}
    """
    hot = config.hot_key_operations_per_s
    wanted: dict[str, tuple[int, float]] = {}
    for key, rate in key_rates(stats).items():
        now = raised.get(key, config.replication)
        factor = math.ceil(rate / hot)
        if factor < now and rate > hot * (now - 1) / 2:
            factor = now
        factor = min(factor, len(stats))
        if factor > config.replication:
            wanted[key] = (factor, rate)
    hottest = sorted(wanted, key=lambda key: (-wanted[key][1], key))[:RAISED_MAX]
    return {key: wanted[key][0] for key in sorted(hottest)}


class Eased(NamedTuple):
    """What is to be, and since when less of it would do."""

    numbers: dict[str, int]
    since: dict[str, Millis]


def eased(
    current: Mapping[str, int],
    wanted: Mapping[str, int],
    since: Mapping[str, Millis],
    now: Millis,
    config: Config,
) -> Eased:
    """What the load asks for, where that is less only if it has been for ``calm_ms``.

    Parameters
    ----------
    current, wanted
        What there is, and what the latest reports ask for; what is not named there is not needed.
    since
        As it was returned the time before.

    Examples
    --------
    >>> config = Config(calm_ms=10_000.0)
    >>> eased({"k": 4}, {"k": 3}, {}, 500.0, config)
    Eased(numbers={'k': 4}, since={'k': 500.0})
    >>> eased({"k": 4}, {"k": 3}, {"k": 500.0}, 10_500.0, config)
    Eased(numbers={'k': 3}, since={'k': 500.0})
    """
    less = [key for key, number in current.items() if wanted.get(key, 0) < number]
    started = {key: since.get(key, now) for key in less}
    held = {key: current[key] for key in less if now - started[key] < config.calm_ms}
    return Eased({**wanted, **held}, started)


def key_rates(stats: Sequence[StoreStats]) -> dict[str, float]:
    """Operations per second of each key that was reported, over all stores."""
    rates: dict[str, float] = {}
    for each in stats:
        for key, operations in each.hot.items():
            rates[key] = rates.get(key, 0.0) + operations * 1000.0 / each.span_ms
    return rates


def operations_per_s(stats: StoreStats) -> float:
    """Reads and writes per second."""
    return stats.operations * 1000.0 / stats.span_ms if stats.span_ms else 0.0
