"""The DAGs that are on display: one editor each, whatever handles there are of it and wherever it is shown.

Law: what is displayed is static HTML with a picture, which any saved notebook keeps; while the kernel lives,
the widget takes its place in the page. So no output ever refers to a widget that may be gone. Where the page
cannot do that (VS Code), the output names the widget, too.
"""

from __future__ import annotations

import os
import sys
import uuid
import weakref
from typing import TYPE_CHECKING, Any

import psutil

from cloudburst_nb import runtimes
from cloudburst_nb.display import dags
from cloudburst_nb.widgets.drawing.editor import Editor
from cloudburst_nb.widgets.showing import HEADLESS, IN_VSCODE, VIEW, kernel_shell
from cloudburst_runtime.messages import DagSpec

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.pipeline import Dag
    from cloudburst_nb.widgets.drawing.widget import DagWidget

DISPLAYS_MAX = 20
RUNNERS = ("nbconvert", "papermill", "jupyter-execute", "jupyter-nbconvert", "jupyter-run", "nbmake")
"""Programs that run a notebook for its outputs: nobody is there to draw."""


class Shown:
    """A DAG on display.

    Attributes
    ----------
    editor, widget
        Its editor, and what front ends see of it.
    """

    def __init__(self, dag: Dag) -> None:
        from cloudburst_nb.widgets.drawing.widget import DagWidget

        self._dag = dag
        self._handles: weakref.WeakSet[Dag] = weakref.WeakSet()
        self._outputs: list[str] = []
        self._picture = ""
        self.widget: DagWidget = DagWidget()
        client = dag._client
        self.editor = Editor(
            lambda: _living(client),
            dag._spec,
            self.widget.publish,
            self.widget.tell,
            self._adopt,
            self._renew,
        )
        self.widget.listen(self.editor.receive)
        self.editor.publish_all()
        client._on_change(self._notice)

    def hold(self, dag: Dag) -> None:
        """One more handle of the DAG: it follows what is drawn, and its calls are measured."""
        self._handles.add(dag)
        dag._heard = self.editor.hear
        self._dag = dag

    def display(self) -> None:
        """Show it below the cell that runs."""
        from IPython.display import display

        self.editor.catch_up()
        output = uuid.uuid4().hex
        self._outputs = [*self._outputs[-DISPLAYS_MAX + 1 :], output]
        self._picture = dags.html(self._dag)
        display(self._bundle(), raw=True, display_id=output)  # type: ignore[no-untyped-call]

    def _bundle(self) -> dict[str, Any]:
        place = f'<div data-cloudburst-dag="{self.widget.place}">{self._picture}</div>'
        bundle: dict[str, Any] = {"text/plain": repr(self._dag), "text/html": place}
        if _names_widgets():
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return bundle

    def _renew(self) -> None:
        """Let the outputs have the picture of what is drawn now: it is what a saved notebook keeps."""
        from IPython.display import update_display

        picture = dags.html(self._dag)
        if picture == self._picture:
            return
        self._picture = picture
        for output in self._outputs:
            update_display(self._bundle(), raw=True, display_id=output)  # type: ignore[no-untyped-call]

    def _notice(self, spec: DagSpec | None) -> None:
        if spec is None or spec.name == self._dag.name:
            self.editor.notice(spec)

    def _adopt(self, spec: DagSpec) -> None:
        for dag in {self._dag, *self._handles}:
            dag._adopt(spec)


def shown(dag: Dag) -> Shown:
    """The display of a DAG: the same for all handles of its name."""
    displays: dict[str, Shown] = dag._client._displays
    if dag.name not in displays:
        displays[dag.name] = Shown(dag)
    displays[dag.name].hold(dag)
    return displays[dag.name]


def show(dag: Dag) -> bool:
    """Show a DAG below the cell that runs, if somebody is there to see more than a picture."""
    if not _is_watched():
        return False
    shown(dag).display()
    return True


def _living(client: Client) -> Client:
    """The client that the DAG was made with, or the one in use if that was taken down."""
    return runtimes.ensure() if client.closed else client


def _is_watched() -> bool:
    return kernel_shell() is not None and not os.environ.get(HEADLESS) and not _run_by_a_tool()


def _run_by_a_tool() -> bool:
    try:
        words = " ".join(psutil.Process(os.getppid()).cmdline()[:5])
    except psutil.Error:
        return False
    return any(runner in words for runner in RUNNERS)


def _names_widgets() -> bool:
    """Whether this is VS Code's kernel, or Colab's, whose pages keep HTML and widgets apart."""
    shell = kernel_shell()
    return (shell is not None and IN_VSCODE in shell.user_ns) or "google.colab" in sys.modules
