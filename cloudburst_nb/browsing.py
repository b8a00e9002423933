"""What is in a store, as something to look into.

Law: it asks each time that it is shown, and is read only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudburst_nb.display.html import faint, size
from cloudburst_nb.display.preview import preview
from cloudburst_nb.display.stores import Meeting, Row, Version, plain, whole
from cloudburst_nb.errors import CloudburstError, KeyNotFound, LatticeMismatch
from cloudburst_runtime.lattices.wrap import reveal

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.history import Meeting as Met
    from cloudburst_nb.history import Version as Kept

LOOK_S = 2.0
"""A display waits no longer for the store than this."""
TEXT_ROWS_MAX = 200


class Store:
    """The keys of a store, as a table; made by `cloudburst_nb.browse`."""

    def __init__(self, client: Client, prefix: str = "") -> None:
        self.client = client
        self.prefix = prefix

    def rows(self) -> list[Row]:
        """The keys, with what is known of them."""
        reply = self.client._keys(self.prefix, LOOK_S)
        mine = {self.client.name: "this notebook"}
        return [
            Row(
                key,
                reply.lattices[index],
                reply.sizes[index],
                [mine.get(name, name) for name in reply.readers[index]],
                reply.versions[index],
                reply.replicas[index],
            )
            for index, key in enumerate(reply.keys)
        ]

    def whole(self, row: Row, at: int) -> str:
        """A key with its versions, and with all values that lie side by side, as HTML."""
        try:
            kept = self.client.history(row.key, timeout=LOOK_S)[::-1]
            values = self.client.get(row.key, siblings=True, timeout=LOOK_S)
        except KeyNotFound:
            return ""
        except LatticeMismatch:  # each version says so in its place
            values = []
        at = at if 0 <= at < len(kept) else len(kept) - 1
        versions = [self._version(row.key, each, abs(at - index) <= 1) for index, each in enumerate(kept)]
        return whole(row, versions, at, [preview(value) for value in values])

    def _version(self, key: str, each: Kept, shown: bool) -> Version:
        """A version; only of one that is shown the value is read."""
        value = self._value(key, each) if shown else ""
        met = [self._meeting(met) for met in each.met] if shown else []
        return Version(each.version, self._name(each.writer), each.time.timestamp(), each.nbytes, value, met)

    def _meeting(self, met: Met) -> Meeting:
        """A write that met another one, its value among it if it was kept."""
        value = ""
        if met.lattice is not None:
            try:
                value = preview(reveal(met.lattice))
            except Exception as error:  # its class may not be importable here
                value = faint(f"it cannot be shown: {error}")
        return Meeting(met.how, self._name(met.writer), met.time.timestamp(), met.nbytes, value)

    def _name(self, writer: str) -> str:
        return "this notebook" if writer == self.client.name else writer

    def _value(self, key: str, version: Kept) -> str:
        try:
            return preview(self.client.get(key, version=version, timeout=LOOK_S))
        except CloudburstError as error:  # it has been dropped meanwhile
            return faint(str(error))

    def __repr__(self) -> str:
        rows = self.rows()
        lines = [["key", "lattice", "size", "versions", "replicas", "cached by"]]
        lines += [_line(row) for row in rows[:TEXT_ROWS_MAX]]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        if len(rows) > TEXT_ROWS_MAX:
            shown.append(f"… and {len(rows) - TEXT_ROWS_MAX:,} more")
        return "\n".join(shown) if rows else "no keys"

    def _repr_html_(self) -> str:
        return plain(self.rows(), self.prefix)

    def _ipython_display_(self) -> None:
        from cloudburst_nb.widgets.cards import StoreCard
        from cloudburst_nb.widgets.showing import show

        show(StoreCard(self))


def _line(row: Row) -> list[str]:
    counts = [f"{row.versions:,}", f"{row.replicas:,}"]
    return [row.key, row.lattice, size(row.size), *counts, ", ".join(row.readers) or "nobody"]
