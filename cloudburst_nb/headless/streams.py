"""What a cell printed, as a terminal would show it in the end: one block a stream, nothing overwritten.

nbclient does so too, by a regular expression that takes time in the square of a line's length: half a minute
for a line of 200 KB.
"""

from __future__ import annotations

from typing import Any


def coalesce(outputs: list[Any]) -> list[Any]:
    """The outputs of a cell with each stream in one piece, where it began; stdout before stderr at its side.

    Examples
    --------
    >>> said = ("1 %\\r", "2 %\\r", "3 %")
    >>> coalesce([{"output_type": "stream", "name": "stdout", "text": text} for text in said])
    [{'output_type': 'stream', 'name': 'stdout', 'text': '3 %'}]
    """
    pieces: dict[str, list[str]] = {}
    firsts: dict[str, Any] = {}
    kept: list[Any] = []
    for output in outputs:
        if output["output_type"] != "stream":
            kept.append(output)
            continue
        name = output["name"]
        if name not in firsts:
            firsts[name] = output
            kept.append(output)
        pieces.setdefault(name, []).append(output["text"])
    for name, output in firsts.items():
        output["text"] = shown("".join(pieces[name]))
    return _in_order(kept)


def _in_order(outputs: list[Any]) -> list[Any]:
    """Which of two adjacent streams arrives first is chance."""
    names = [output.get("name") if output["output_type"] == "stream" else None for output in outputs]
    for index in range(len(outputs) - 1):
        if names[index : index + 2] == ["stderr", "stdout"]:
            outputs[index : index + 2] = reversed(outputs[index : index + 2])
    return outputs


def shown(text: str) -> str:
    """Text after its carriage returns and backspaces.

    Examples
    --------
    >>> shown("loading\\rdone\\r\\nabc\\b\\bx")
    'done\\nax'
    """
    if "\r" not in text and "\b" not in text:
        return text
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    parts = [part for part in line.split("\r") if part]
    last = parts[-1] if parts else ""
    if "\b" not in last:
        return last
    letters: list[str] = []
    for letter in last:
        if letter != "\b":
            letters.append(letter)
        elif letters:
            letters.pop()
    return "".join(letters)
