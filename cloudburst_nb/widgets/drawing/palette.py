"""The functions that a runtime has, as the editor offers and checks them.

Law: names and versions are asked for each time, a function's signature once per version. Nothing here waits
for long: a runtime that does not answer leaves the palette as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudburst_nb.errors import CloudburstError
from cloudburst_nb.widgets.drawing.checking import Known
from cloudburst_runtime import messages

if TYPE_CHECKING:
    from cloudburst_nb.client import Client

PATIENCE_S = 2.0
WORDS_CHARACTERS_MAX = 120


class Palette:
    """What is registered.

    Attributes
    ----------
    known
        By name, in alphabetical order.
    """

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def refresh(self, client: Client) -> bool:
        """Ask the runtime; whether anything has changed."""
        try:
            reply: messages.StatusReply = client._shell.ask(messages.Status, timeout=PATIENCE_S)
            found = {
                name: self._known(client, name, reply.functions[name]) for name in sorted(reply.functions)
            }
        except CloudburstError:
            return False
        changed = found != self.known
        self.known = found
        return changed

    def _known(self, client: Client, name: str, version: int) -> Known:
        before = self.known.get(name)
        if before is not None and before.version == version:
            return before
        said = client._shell.ask(lambda req: messages.Describe(req, "function", name), timeout=PATIENCE_S)
        return Known(version, said.function.signature)

    def published(self) -> list[dict[str, object]]:
        """As front ends get it."""
        return [
            {"name": name, "version": each.version, "signature": each.signature[:WORDS_CHARACTERS_MAX]}
            for name, each in self.known.items()
        ]
