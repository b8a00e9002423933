"""How a content reads: one line, much as Python writes the value.

Law: a content in (`content`), text out, bounded in length and depth.
"""

from __future__ import annotations

from typing import Any

from cloudburst_nb.content import Tree

SHOWN_CHARACTERS_MAX = 120
SHOWN_PARTS_MAX = 8
SHOWN_DEPTH_MAX = 4
MISSING = ["missing"]
"""Stands for what one of two contents does not have."""


def show(tree: Tree, characters_max: int = SHOWN_CHARACTERS_MAX) -> str:
    """A content as a line of text, much as Python writes the value.

    Examples
    --------
    >>> show(["dict", [["a", ["tuple", [1]]], ["b", ["set", ["x"]]]]])
    "{'a': (1,), 'b': {'x'}}"
    """
    text = _shown(tree, 0).replace("\n", " ")
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def _shown(tree: Tree, depth: int) -> str:
    if not isinstance(tree, list):
        return repr(tree)
    if depth >= SHOWN_DEPTH_MAX:
        return "…"
    tag, rest = tree[0], tree[1:]
    if tag in _BRACKETS:
        return _between(tag, [_shown(part, depth + 1) for part in _first(rest[0])], len(rest[0]))
    if tag == "dict":
        pairs = [f"{_shown(pair[0], depth + 1)}: {_shown(pair[1], depth + 1)}" for pair in _first(rest[0])]
        return f"{{{_with_more(pairs, len(rest[0]))}}}"
    if tag == "object":
        return _shown_object(rest[0], rest[1], depth)
    return _shown_leaf(tag, rest)


def _first(parts: list[Any]) -> list[Any]:
    return parts[:SHOWN_PARTS_MAX]


_BRACKETS = {"list": ("[", "]"), "tuple": ("(", ")"), "set": ("{", "}"), "frozenset": ("{", "}")}


def _between(tag: str, parts: list[str], count: int) -> str:
    opening, closing = _BRACKETS[tag]
    inner = _with_more(parts, count) + ("," if tag == "tuple" and count == 1 else "")
    if tag == "set" and not count:
        return "set()"
    return f"frozenset({{{inner}}})" if tag == "frozenset" else f"{opening}{inner}{closing}"


def _with_more(parts: list[str], count: int) -> str:
    return ", ".join(parts) + (f", … {count} in all" if count > len(parts) else "")


def _shown_object(kind: str, parts: list[list[Any]], depth: int) -> str:
    name = kind.rpartition(".")[2]
    inner = []
    for label, part in parts:
        if label == "args":
            inner += [_shown(each, depth + 1) for each in _first(part[1])]
        elif label.startswith("."):
            inner.append(f"{label[1:]}={_shown(part, depth + 1)}")
        elif label != "made by":
            inner.append(_shown(part, depth + 1))
    return f"{name}({_with_more(inner[:SHOWN_PARTS_MAX], len(inner))})"


def _shown_leaf(tag: str, rest: list[Any]) -> str:
    if tag == "array":
        return f"array of shape {tuple(rest[1])}, {_dtype(rest[0])}{_beginning(*rest)}"
    if tag in ("bytes", "bytearray"):
        data = rest[0]
        return repr(data) if isinstance(data, bytes) else f"{tag} of {data[2]:,}, {data[1][:8]}"
    if tag == "missing":
        return "nothing"
    if tag == "int":
        return str(int(rest[0], 16))
    if tag == "float":
        return str(rest[0])
    if tag == "complex":
        return f"complex({', '.join(_shown(part, 0) for part in rest)})"
    if tag == "scalar":
        return f"{_dtype(rest[0])}({_shown(rest[1], 0)})"
    if tag == "text":
        return repr(rest[0].decode("utf-8", "surrogatepass"))
    if tag == "cycle":
        return "…"
    if tag == "code":
        return f"function {rest[0]} ({rest[1][:8]})"
    return f"<{rest[0]}>"


def _dtype(name: str) -> str:
    kinds = {"f": "float", "i": "int", "u": "uint", "c": "complex"}
    if len(name) > 2 and name[1] in kinds and name[2:].isdecimal():
        return f"{kinds[name[1]]}{8 * int(name[2:])}"
    return {"|b1": "bool", "|O": "object"}.get(name, name)


def _beginning(dtype: str, shape: list[int], data: Any) -> str:
    if not isinstance(data, bytes) or not data or len(shape) == 0:
        return f", {data[1][:8]}" if isinstance(data, list) and data[:1] == ["blob"] else ""
    import numpy as np

    try:
        found = np.frombuffer(data, dtype)
    except (TypeError, ValueError):
        return ""
    shown = ", ".join(str(part.item()) for part in found[:SHOWN_PARTS_MAX])
    return f": {shown}{', …' if len(found) > SHOWN_PARTS_MAX else ''}"


def kind_name(tree: Tree) -> str:
    """The type that a content is of."""
    if not isinstance(tree, list):
        return type(tree).__name__
    return str(tree[1] if tree[0] in ("object", "opaque") else tree[0])
