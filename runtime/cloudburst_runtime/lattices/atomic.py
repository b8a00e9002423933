"""Last writer wins, with the writes that were published together.

Law: of a key the later write wins, as ever; what is added says which transaction made it and which keys it
wrote, so that whoever reads one of them knows what to expect of the others. The metadata of RAMP-Fast (Bailis
et al., "Scalable Atomic Visibility with RAMP Transactions", SIGMOD 2014). Plain writes may meet such ones.
"""

from __future__ import annotations

from typing import ClassVar

from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.values import Value

from .base import LIFTS, Lattice
from .basic import LWW

RECORDS_PREFIX = "result/atomic/"
"""Where the records of transactions lie, among what `keys` does not show."""


class Atomic(Lattice, tag="atomic", frozen=True, array_like=True):
    """A plain write, and the transaction that published it: its name and its keys; none for a plain put."""

    name: ClassVar[str] = LWW.name  # which is what it is to whoever puts under its key

    stamp: Micros
    writer: PeerName
    value: Value
    transaction: str = ""
    keys: tuple[str, ...] = ()

    def merge(self, other: Atomic) -> Atomic:
        return other if self._order() < other._order() else self

    def __le__(self, other: Atomic) -> bool:
        return self._order() <= other._order()

    def _order(self) -> tuple[Micros, PeerName, bytes, str, tuple[str, ...]]:
        return (self.stamp, self.writer, self.value.data, self.transaction, self.keys)

    def reveal(self) -> Value:
        return self.value

    @property
    def nbytes(self) -> int:
        return self.value.nbytes + len(self.transaction) + sum(map(len, self.keys))


def lifted(plain: LWW) -> Atomic:
    """A last-writer-wins pair as one that no transaction made."""
    return Atomic(plain.stamp, plain.writer, plain.value)


LIFTS[LWW, Atomic] = lifted
