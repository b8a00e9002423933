"""How busy a store is: what it reports to the node, for the policies.

Law: counts only. A store of which nothing is asked reports nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.messages import StoreStats

COUNTED_MAX = 10_000
"""Keys that are counted; beyond, those that were asked for least are forgotten."""

HOT_MAX = 16
"""Keys that are reported."""


class Usage:
    """The reads and writes of one store since its last report.

    Parameters
    ----------
    stats_ms
        The time between two reports of a store that is busy.

    Examples
    --------
    >>> usage = Usage(stats_ms=2000.0)
    >>> usage.due(now=5.0)
    >>> usage.note(["k", "j", "k"], now=5.0)
    >>> usage.due(now=6.0), usage.report("s2", keys=2, nbytes=9, now=7.0)
    (2005.0, [])
    >>> [send] = usage.report("s2", keys=2, nbytes=9, now=2005.0)
    >>> send.message.operations, send.message.hot, usage.due(now=2005.0)
    (3, {'k': 2}, None)
    """

    def __init__(self, stats_ms: Millis) -> None:
        self._stats_ms = stats_ms
        self._since: Millis | None = None
        self._operations = 0
        self._counts: dict[str, int] = {}

    def note(self, keys: Iterable[str], now: Millis) -> None:
        """These keys were read, or written."""
        if self._since is None:
            self._since = now
        counts = self._counts
        for key in keys:
            self._operations += 1
            counts[key] = counts.get(key, 0) + 1
        if len(counts) > COUNTED_MAX:
            self._counts = dict(self._hottest(COUNTED_MAX // 2))

    def touch(self, now: Millis) -> None:
        """Something has changed that nobody asked for here."""
        if self._since is None:
            self._since = now

    def due(self, now: Millis) -> Millis | None:
        """When there is something to report."""
        return None if self._since is None else self._since + self._stats_ms

    def report(self, name: PeerName, keys: int, nbytes: int, now: Millis) -> list[Send]:
        """The report, if it is time for one."""
        if self._since is None or now < self._since + self._stats_ms:
            return []
        hot = {key: count for key, count in self._hottest(HOT_MAX) if count > 1}
        stats = StoreStats(name, keys, nbytes, self._operations, now - self._since, hot)
        self._since, self._operations, self._counts = None, 0, {}
        return [Send(NODE, stats)]

    def _hottest(self, count: int) -> list[tuple[str, int]]:
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:count]
