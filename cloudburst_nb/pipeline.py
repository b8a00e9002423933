"""The handle of a registered DAG: what is called, and what is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cloudburst_nb import runtimes
from cloudburst_nb.dag import graph_of
from cloudburst_nb.errors import InvalidDag
from cloudburst_runtime.messages import DagSpec

if TYPE_CHECKING:
    import networkx
    from matplotlib.figure import Figure

    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture
    from cloudburst_nb.widgets.drawing.widget import DagWidget


class Dag:
    """A DAG of cloud functions under a name; calling it returns a future of its sink's result.

    Attributes
    ----------
    name : str
        What it is registered as.
    functions : list of str
        Names of its functions, in the order of definition.

    Examples
    --------
    >>> negate = cb.function(lambda x: -x, name="negate")
    >>> pipe = cb.dag("pipe", square >> negate)
    >>> pipe(3).get()
    -9
    >>> pipe
    <cloud DAG pipe: square→negate>
    """

    def __init__(self, client: Client, spec: DagSpec) -> None:
        self._client = client
        self._heard: Callable[[CloudburstFuture], None] | None = None
        self.name = spec.name
        self._adopt(spec)

    def _adopt(self, spec: DagSpec) -> None:
        """This is what it is from now on."""
        self._spec = spec
        self.functions = [node.function for node in spec.nodes]

    def __call__(
        self,
        *args: Any,
        consistency: object = None,
        output_key: str | None = None,
        timeout: float | None = None,
        continuation: str | Dag | None = None,
        retries: int | None = None,
        **node_args: Any,
    ) -> CloudburstFuture:
        """Run the DAG.

        Parameters
        ----------
        *args
            Arguments of the source, if there is one.
        consistency
            The level that the whole DAG can rely on: ``"lww" "dsrr" "sk" "mk" "dsc" "atomic"``, or a
            `Consistency`; None: that of the session that is in force, else ``"lww"``.
        output_key
            Store the result under this key before it is returned.
        timeout
            Seconds that the call may take.
        continuation
            A DAG that the result is fed into; its result is what the future gives.
        retries
            How often the call runs again when an executor was lost; None: as its functions say.
        **node_args
            By function name, a list of arguments (or one bare argument): they come before the results of
            the function's predecessors.

        Raises
        ------
        ConsistencyError
            If there is no such level.
        InvalidDag
            From ``get()``: arguments for a function that the DAG does not have, or positional arguments
            for a DAG with several sources.

        Examples
        --------
        >>> scale = cb.function(lambda factor, x: factor * x, name="scale")
        >>> pipe = cb.dag("pipe", square >> scale)
        >>> pipe(square=[3], scale=[0.5]).get()
        4.5
        """
        if not self._spec.nodes:
            raise InvalidDag(f"DAG {self.name!r} has no function yet: display it, and draw some")
        client = runtimes.ensure()
        if client is not self._client:
            client._define(self._spec, replace=True)
            self._client = client
        after = continuation.name if isinstance(continuation, Dag) else continuation
        future = client._call_dag(self, args, node_args, consistency, output_key, timeout, after, retries)
        if self._heard is not None:
            future._subscribe(self._heard)
        return future

    @property
    def graph(self) -> networkx.DiGraph:
        """A ``networkx.DiGraph`` of the function names, with the nodes' attributes. A copy."""
        return graph_of(self._spec)

    def plot(self) -> Figure:
        """The DAG's picture as a matplotlib figure, to be saved or built upon.

        Examples
        --------
        >>> negate = cb.function(lambda x: -x, name="negate")
        >>> figure = cb.dag("pipe", square >> negate).plot()
        >>> sorted(text.get_text() for text in figure.axes[0].texts)
        ['negate', 'square', 'v1', 'v1']
        """
        from cloudburst_nb.display.dags import plot

        return plot(self)

    @property
    def widget(self) -> DagWidget:
        """The editor as a widget, to be put among others; a notebook shows it for the DAG itself."""
        from cloudburst_nb.widgets.drawing.board import shown

        return shown(self).widget

    def _ipython_display_(self) -> None:
        """In a notebook that somebody looks at: the editor. Elsewhere the picture, or plain text."""
        from cloudburst_nb.widgets.drawing.board import show

        if not show(self):
            raise NotImplementedError

    def _repr_html_(self) -> str:
        from cloudburst_nb.display.dags import html

        return html(self)

    def __repr__(self) -> str:
        names = self.functions
        edges = ", ".join(f"{names[source]}→{names[target]}" for source, target in self._spec.edges)
        return f"<cloud DAG {self.name}: {edges or ', '.join(names) or 'nothing is drawn yet'}>"
