"""What the cells of an executed notebook have shown, as a record has it.

Law: a notebook in, entries out, and the notebook without the form that carries contents. Text is kept as it
was shown but for what differs in every run by its nature: addresses in memory, and colours.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from cloudburst_nb.content import digest_of
from cloudburst_nb.records.format import Cell, Part, Shown

MIME = "application/vnd.cloudburst.content+json"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")


def cells_of(notebook: Any, indices: list[int], seconds: dict[int, float]) -> list[Cell]:
    """The cells at ``indices``, with what they have shown.

    Parameters
    ----------
    notebook
        Executed.
    indices
        Of the cells that were to be executed.
    seconds
        How long each of them took, by its number; those that did not get their turn are missing.
    """
    found = []
    for number, index in enumerate(indices, 1):
        cell = notebook.cells[index]
        if number in seconds:
            error = next((each for each in cell.outputs if each.output_type == "error"), None)
            found.append(
                Cell(
                    number,
                    cell.source,
                    digest_of(cell.source.encode("utf-8", "backslashreplace")),
                    list(cell.metadata.get("tags", [])),
                    round(seconds[number], 4),
                    shown_of(cell.outputs),
                    None if error is None else plain(f"{error.ename}: {error.evalue}"),
                    cell.get("execution_count") or 0,
                )
            )
    return found


def shown_of(outputs: Any) -> list[Shown]:
    """What a cell has shown: stdout as one text, then each display in its order. Stderr is no result.

    Examples
    --------
    >>> from nbformat.v4 import new_output
    >>> shown_of([new_output("stream", name="stdout", text="<object at 0x7f3a5b6c7d8e>")])[0].text
    '<object at 0x…>'
    """
    printed = "".join(each.text for each in outputs if each.output_type == "stream" and each.name == "stdout")
    found = [Shown("text", plain(printed))] if printed else []
    for output in outputs:
        if output.output_type in ("execute_result", "display_data"):
            found.append(_display(output.data))
        elif output.output_type == "error":
            found.append(Shown("error", plain(f"{output.ename}: {output.evalue}")))
    return found


def plain(text: str) -> str:
    """A text without colours and addresses in memory."""
    return ADDRESS.sub("0x…", ANSI.sub("", text))


def _display(data: Any) -> Shown:
    text = plain(str(data.get("text/plain", ", ".join(sorted(set(data) - {MIME})))))
    told = data.get(MIME)
    if told is None:
        return Shown("text", text)
    content: Part = told["blob"] if "blob" in told else base64.b64decode(told["tree"])
    return Shown(told["kind"], text, content)


def strip(notebook: Any) -> None:
    """Take the contents out of the outputs: they are in the record."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(MIME, None)
            output.get("metadata", {}).pop(MIME, None)
