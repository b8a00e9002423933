"""What the magics show: plain text for every front end, small HTML without JavaScript for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

NAMES_SHOWN_MAX = 500
_BOX = '<div style="font-family:var(--jp-code-font-family,monospace)">'


@dataclass(frozen=True)
class Entry:
    """One registered definition; ``version`` 0: a class that waits for its ``bind``."""

    name: str
    version: int
    kind: str = "function"
    signature: str = ""

    def __str__(self) -> str:
        if not self.version:
            return f"{self.name}: call {self.name}.bind(...)"
        return f"{self.name} v{self.version}"

    def html(self) -> str:
        """One line: name, version and parameters, or what is still to be done."""
        name = f"<b>{escape(self.name)}</b>"
        if not self.version:
            return f"{name}: call <code>{escape(self.name)}.bind(...)</code>"
        details = escape(f"{self.kind} {self.name}{self.signature}")
        return f'<span title="{details}">{name} v{self.version}</span>'


@dataclass(frozen=True)
class Registered:
    """What a ``%%cloudburst`` cell registered.

    Examples
    --------
    >>> Registered((Entry("square", 1), Entry("Model", 2)))
    square v1, Model v2
    """

    entries: tuple[Entry, ...]

    def __repr__(self) -> str:
        if not self.entries:
            return "nothing registered: the cell defines no function, and no class with a run method"
        return ", ".join(map(str, self.entries))

    def _repr_html_(self) -> str:
        inner = ", ".join(entry.html() for entry in self.entries) or escape(repr(self))
        return f"{_BOX}{inner}</div>"


@dataclass(frozen=True)
class Names:
    """Lists of names under headings; long ones are cut, and say by how much.

    Examples
    --------
    >>> Names({"functions": ["f", "g"], "dags": []})
    functions: f, g
    dags: none
    """

    lists: dict[str, list[str]]

    def __repr__(self) -> str:
        return "\n".join(f"{heading}: {_line(names)}" for heading, names in self.lists.items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<div><b>{escape(heading)}</b>: {escape(_line(names))}</div>"
            for heading, names in self.lists.items()
        )
        return f"{_BOX}{rows}</div>"


def _line(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX]) or "none"
    hidden = len(names) - NAMES_SHOWN_MAX
    return f"{shown}, … and {hidden} more" if hidden > 0 else shown


@dataclass(frozen=True)
class Note:
    """One sentence to the user."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"{_BOX}{escape(self.text)}</div>"
