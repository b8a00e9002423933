"""A DAG in a notebook: its picture, its functions with their versions, and how each is run.

Law: the picture is of the definition that the handle has. Versions are what the runtime says at this
moment; if it does not answer at once, the picture comes without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudburst_nb.display.html import STATES, bold, card, counted, faint, image, line
from cloudburst_nb.display.picture import drawing, figure
from cloudburst_nb.errors import CloudburstError
from cloudburst_runtime import messages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cloudburst_nb.pipeline import Dag

PATIENCE_S = 1.0


def html(dag: Dag) -> str:
    """The DAG's picture, in its own size: a large one is scrolled."""
    if not dag.functions:
        return card(
            STATES["running"], line(faint("cloud DAG"), bold(dag.name), faint("nothing is drawn yet"))
        )
    picture = image(drawing(dag.graph, words_of(dag)).encode(), "image/svg+xml", repr(dag), "max-width:none")
    together = ", ".join(dag._spec.colocated)
    return card(
        STATES["running"],
        line(
            faint("cloud DAG"),
            bold(dag.name),
            faint(
                counted(len(dag.functions), "function") + (f" · on one host: {together}" if together else "")
            ),
        ),
        f'<div style="overflow:auto;max-height:60em;margin:4px 0">{picture}</div>',
    )


def plot(dag: Dag) -> Figure:
    """The same picture as a figure."""
    return figure(dag.graph, words_of(dag))


def words_of(dag: Dag) -> dict[str, str]:
    """For each function, what stands below its name: version and how it is run."""
    versions = _versions(dag)
    words = {}
    for node in dag._spec.nodes:
        parts = [
            f"v{versions[node.function]}" if node.function in versions else "",
            "once per input" if node.invalid is not None else "",
            "batching" if node.batching else "",
            "GPU" if node.gpu else "",
        ]
        words[node.function] = " · ".join(part for part in parts if part)
    return words


def _versions(dag: Dag) -> dict[str, int]:
    try:
        reply: messages.StatusReply = dag._client._shell.ask(messages.Status, timeout=PATIENCE_S)
    except CloudburstError:
        return {}
    return reply.functions
