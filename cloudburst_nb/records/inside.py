"""Recording inside a kernel that runs a notebook headless: calls, and the contents of what cells show.

Law: the runner (`cloudburst_nb.headless`) calls `begin` before the first cell and `end` after the last; cells
neither know nor notice. What is displayed gets one more form, `MIME`, with its content; the runner takes it
out of the notebook again.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

from cloudburst_nb import runtimes
from cloudburst_nb.content import content_of
from cloudburst_nb.records import figures
from cloudburst_nb.records.folder import Log
from cloudburst_nb.records.keeping import Keeper
from cloudburst_nb.records.outputs import MIME
from cloudburst_nb.records.recorder import Recorder, cell_now
from cloudburst_nb.records.recording import RECORDINGS, Recordings, environment

OURS = ("cloudburst_nb.", "cloudburst_runtime.", "cloudburst_kernel.")


class Inside(Recordings):
    """The recording of this kernel.

    Parameters
    ----------
    folder
        Of the runner's draft.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorder = Recorder(Log(folder), cell_now)

    def where(self) -> Path:
        return self.folder


_present: list[Inside] = []


def begin(folder: str) -> None:
    """Record from now on into the draft at ``folder``."""
    recording = Inside(Path(folder))
    _present.append(recording)
    RECORDINGS.append(recording)
    runtimes.state.watchers.append(recording.recorder.attach)
    _show_contents(recording.recorder.keeper)


def end() -> None:
    """Write what is still to be written; raises what could not be."""
    for recording in _present:
        recording.recorder.note(environment)
        recording.recorder.close()


def _show_contents(keeper: Keeper) -> None:
    import IPython

    shell: Any = IPython.get_ipython()
    formatter = ContentFormatter(parent=shell.display_formatter)
    formatter.keeper = keeper
    shell.display_formatter.formatters[MIME] = formatter


class ContentFormatter(BaseFormatter):
    """Gives what is displayed a form that has its content."""

    format_type = Unicode(MIME)
    print_method = ObjectName("_repr_cloudburst_content_")
    _return_type = dict
    keeper: Keeper

    def __call__(self, obj: Any) -> dict[str, Any] | None:
        try:
            return self._form(obj)
        except Exception:  # whatever goes wrong here, the cell shows what it shows
            return None

    def _form(self, obj: Any) -> dict[str, Any] | None:
        kind, shown = shown_by(obj)
        content = content_of(shown)
        if isinstance(content.tree, list) and content.tree[0] == "opaque":
            return None
        part = self.keeper.content(content)
        told = {"blob": part} if isinstance(part, str) else {"tree": base64.b64encode(part).decode()}
        return {"kind": kind, **told}


def shown_by(value: Any) -> tuple[str, Any]:
    """The kind of what is shown, and what is compared of it."""
    if not figures.is_figure(value):
        return "value", stand_in(value)
    if type(value).__module__.startswith(OURS):  # of latencies: what differs from run to run is all it shows
        return "figure", ("chart", [axes.get_xlabel() for axes in value.get_axes()])
    return "figure", figures.data_of(value)


def stand_in(value: Any) -> Any:
    """What is compared of a value: of this project's own, only what does not differ from run to run."""
    kind = type(value)
    if not kind.__module__.startswith(OURS):
        return type(value).__name__ if hasattr(value, "comm") else value  # a widget is a view, no value
    if hasattr(value, "timings"):
        return ("future", value._target)
    return (kind.__name__, *(_stable(value, name) for name in ("title", "name", "functions", "dags")))


def _stable(value: Any, name: str) -> Any:
    found = getattr(value, name, None)
    return found if isinstance(found, str | list | dict) else None
