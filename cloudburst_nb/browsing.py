"""What is in a store, as something to look into.

Law: it asks each time that it is shown, and is read only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudburst_nb.display.html import size
from cloudburst_nb.display.preview import preview
from cloudburst_nb.display.stores import Row, Version, plain, whole

if TYPE_CHECKING:
    from cloudburst_nb.client import Client

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
            Row(key, lattice, nbytes, [mine.get(name, name) for name in readers])
            for key, lattice, nbytes, readers in zip(
                reply.keys, reply.lattices, reply.sizes, reply.readers, strict=True
            )
        ]

    def whole(self, row: Row, at: int) -> str:
        """A key with its value, and with all that lie side by side, as HTML."""
        values = self.client.get(row.key, [], siblings=True, timeout=LOOK_S)
        shown = [preview(value) for value in values]
        return whole(row, [Version(1, "", 0.0, row.size, shown[0])], at, shown) if shown else ""

    def __repr__(self) -> str:
        rows = self.rows()
        lines = [["key", "lattice", "size", "cached by"]]
        lines += [
            [row.key, row.lattice, size(row.size), ", ".join(row.readers) or "nobody"]
            for row in rows[:TEXT_ROWS_MAX]
        ]
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
