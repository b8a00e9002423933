"""What a runtime says of itself, with a plain and an HTML form."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from cloudburst_nb.display.html import size
from cloudburst_runtime.messages import ExecutorStatus, StatusReply, StoreStats

if TYPE_CHECKING:
    from cloudburst_nb.client import Client


class StoreStatus(NamedTuple):
    """A process that keeps keys: what it has, how much was asked of it of late, and on which host it is, if
    not on the runtime's. One that is ``away`` does not run, and is waited for with what is on its disk."""

    name: str
    keys: int
    nbytes: int
    operations_per_s: float
    host: str = ""
    away: bool = False

    @classmethod
    def of(cls, stats: StoreStats) -> StoreStatus:
        """As the runtime says it."""
        rate = stats.operations * 1000.0 / stats.span_ms if stats.span_ms else 0.0
        return cls(stats.name, stats.keys, stats.nbytes, round(rate, 1), stats.host, stats.away)


def _places(afar: dict[str, str]) -> str:
    """The stores on other hosts.

    Examples
    --------
    >>> _places({"s2": "ant", "s3": "bee"})
    's2 on ant, s3 on bee'
    """
    return ", ".join(f"{name} on {host}" for name, host in afar.items())


class Status:
    """A runtime as of one moment.

    Attributes
    ----------
    address : str
        What `connect` takes.
    addresses : list of str
        All that it takes for this runtime.
    key_file : str
        What goes with the TCP address of a runtime that listens; empty if it does not.
    executors : list
        Each with ``name``, ``pid``, ``queued``, ``running`` and ``pinned``.
    functions : dict
        Name → version.
    dags : list of str
        Names.
    keys, store_bytes : int
        How many keys the store has, and the size of their values.
    afar : dict
        The stores on other hosts: name → host.
    state_dir : str
        Where the state is kept; empty if it ends with the runtime.
    damage : list of str
        A line on each damage that was found there, and on each store that died with keys which it alone kept.
    at : str
        The time of day when it was asked.
    """

    def __init__(
        self,
        reply: StatusReply,
        addresses: list[str],
        key_file: str = "",
        client: Client | None = None,
    ) -> None:
        self._client = client
        self.address = addresses[0]
        self.addresses = addresses
        self.key_file = key_file
        self.name = reply.name
        self.policy = reply.policy
        self.executors: list[ExecutorStatus] = reply.executors
        self.functions = reply.functions
        self.dags = reply.dags
        self.keys = reply.keys
        self.store_bytes = reply.store_bytes
        self.clients = reply.clients
        self.afar = reply.afar
        self.state_dir = reply.state_dir
        self.damage = reply.damage
        self.at = time.strftime("%H:%M:%S")

    def _rows(self) -> list[tuple[str, str]]:
        functions = ", ".join(f"{name} v{version}" for name, version in sorted(self.functions.items()))
        busy = sum(bool(executor.running) for executor in self.executors)
        waiting = sum(executor.queued for executor in self.executors)
        return [
            ("address", ", ".join(self.addresses)),
            *([("key file", self.key_file)] if self.key_file else []),
            ("executors", f"{len(self.executors)} ({busy} busy, {waiting} calls waiting), {self.policy}"),
            ("functions", functions or "none"),
            ("DAGs", ", ".join(self.dags) or "none"),
            ("store", f"{self.keys} keys, {size(self.store_bytes)}"),
            *([("elsewhere", _places(self.afar))] if self.afar else []),
            *([("state", self.state_dir)] if self.state_dir else []),
            *([("damage", "; ".join(self.damage))] if self.damage else []),
        ]

    def __repr__(self) -> str:
        rows = [f"  {label:<10} {text}" for label, text in self._rows()]
        return "\n".join([f"Cloudburst runtime {self.name!r}", *rows])

    def _repr_html_(self) -> str:
        from cloudburst_nb.display.statuses import html

        return html(self)

    def _ipython_display_(self) -> None:
        if self._client is None:
            raise NotImplementedError("nobody is there to ask again")
        from cloudburst_nb.widgets.cards import RuntimeCard
        from cloudburst_nb.widgets.showing import show

        show(RuntimeCard(self._client, self))
