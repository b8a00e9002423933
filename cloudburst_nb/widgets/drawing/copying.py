"""Copies of functions: a function is one node of a DAG, so to have it twice is to have it under two names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudburst_nb import runtimes
from cloudburst_nb.function import CloudFunction
from cloudburst_nb.packaging import Packed
from cloudburst_nb.widgets.drawing.editing import Refused
from cloudburst_nb.widgets.drawing.sketch import Sketch

if TYPE_CHECKING:
    from cloudburst_nb.client import Client


def register_copies(client: Client, sketch: Sketch) -> None:
    """Register what the sketch has copies of under their names, if that was not done since they last changed.

    Raises
    ------
    Refused
        If a function was registered by another process, which alone has its code.
    """
    for name, node in sketch.nodes.items():
        if not node.copy_of:
            continue
        origin = runtimes.state.known.get(node.copy_of)
        if origin is None:
            raise Refused(f"{node.copy_of!r} was registered by another process: only there it can be copied")
        payload = origin._current_packed().spec.payload
        known = runtimes.state.known.get(name)
        if known is None or known._packed.spec.payload != payload:
            made = _renamed(origin, name)
            runtimes.announce(made)
            client._adopt(made)


def _renamed(origin: CloudFunction, name: str) -> CloudFunction:
    packed = origin._current_packed()
    spec = msgspec.structs.replace(packed.spec, name=name, version=0)
    return CloudFunction(Packed(spec, packed.raw, packed.captured, [], packed.init))
