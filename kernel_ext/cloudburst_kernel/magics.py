"""``%%cloudburst`` and ``%cloudburst``: the notebook's way to the client.

Law: lines are parsed, and cells captured, by files that know no IPython (``line``, ``capture``,
``commands``); what is left is to run the cell, call the client and show what it answered. Nothing is
registered unless the cell ran to its end, and all functions of a cell are registered before any name is
bound, so that functions which call each other see each other as they were defined, in either order.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Any

from IPython import get_ipython
from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display

from cloudburst_kernel import client, commands, completion, execution
from cloudburst_kernel.capture import Captured, Cell, capture
from cloudburst_kernel.execution import Shell
from cloudburst_kernel.line import USAGE, LineError
from cloudburst_kernel.show import Entry, Names, Note, Registered
from cloudburst_runtime.errors import DagNotFound, FunctionNotFound

NOT_RUNNING = "no runtime is running here; `%cloudburst up` starts one, and so does the first call"


@magics_class
class CloudburstMagics(Magics):
    """The magics, bound to one shell."""

    shell: Shell

    @no_var_expand
    @cell_magic("cloudburst")  # type: ignore[arg-type]
    def cloudburst_cell(self, line: str, cell: str) -> None:
        """Run this cell, and make cloud functions of what it defines.

        %%cloudburst [--name N] [--retries N] [--timeout S] [--batching] [--gpu]
            Each top-level ``def`` and ``async def``, and each class with a ``run`` method, is registered;
            its name becomes the cloud function: ``square(3)`` returns a future, ``square.local(3)`` runs
            here. Names, lambdas and what stands inside ``if`` stay as they are. A class whose ``__init__``
            needs arguments is registered by ``Model.bind(...)``.

        %%cloudburst NAME(PARAMETERS) -> RESULT [options]
            The cell *is* the function: its parameters are on the line, its result is the variable (or the
            variables, ``-> (a, b)``) after the arrow. Nothing of the cell runs until it is called.

        Options
            --name N      register under another name (a cell with one function)
            --retries N   run again so often when an executor is lost (1)
            --timeout S   give up after so many seconds (no limit)
            --batching    take waiting calls together, as lists
            --gpu         only on an executor that has a GPU

        If the cell fails, nothing is registered. Running it again registers a new version.

        Examples
        --------
        ::

            %%cloudburst --retries 2
            def square(x):
                return x * x

            %%cloudburst score(image, threshold=0.5) -> (label, p)
            p = image.mean()
            label = p > threshold
        """
        __tracebackhide__ = True
        captured = self._capture(line, cell)
        execution.run(self.shell, captured.text, captured.filename)
        display(Registered(tuple(self._register(captured))))  # type: ignore[no-untyped-call]

    def _capture(self, line: str, cell: str) -> Cell:
        __tracebackhide__ = True
        raw_cell = f"%%cloudburst {line}".rstrip() + "\n" + cell
        name_of = execution.namer(self.shell, raw_cell)
        try:
            return capture(cell, line, transform=self.shell.transform_cell, filename=name_of)
        except LineError as error:
            raise UsageError(f"{error}\nusage: {USAGE}") from None
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            execution.raise_syntax_error(self.shell, error)

    def _register(self, cell: Cell) -> list[Entry]:
        __tracebackhide__ = True
        bound: dict[str, Any] = {}
        entries: list[Entry] = []
        try:
            for found in cell.functions:
                value = self.shell.user_ns.get(found.name)
                if client.is_handle(value):  # its own decorator registered it
                    handle = value
                elif callable(value):
                    options = cell.options.keywords()
                    handle = client.api().function(value, source=found.source, **options)
                else:  # the cell gave the name to something else, or deleted it
                    continue
                bound[found.name] = handle
                entries.append(_entry(found, handle))
        finally:
            self.shell.user_ns.update(bound)
        return entries

    @no_var_expand
    @line_magic("cloudburst")  # type: ignore[arg-type]
    def cloudburst_line(self, line: str) -> Any:
        """Steer the runtime, and look into it.

        ::

            %cloudburst up [--executors N or MIN:MAX] [--state-dir DIR] [--seed N]
                                                                           start the runtime
            %cloudburst down                                               stop the one started here
            %cloudburst connect ADDRESS                                    use one that runs already
            %cloudburst status                                             executors, functions, store
            %cloudburst list [PREFIX]                                      functions and DAGs
            %cloudburst dag NAME a >> [b, c] >> d                          build a DAG, and bind NAME
            %cloudburst call NAME ARGUMENTS…                               call it; shows the future
            %cloudburst plot NAME [KIND] [--live]                          a figure of its last calls
            %cloudburst keys [PREFIX]                                      keys in the store

        The names of a DAG are the notebook's variables first, then registered functions; a name that is no
        identifier goes in quotes. The arguments of a call are Python expressions, divided by blanks or
        commas, keyword arguments as ``x=3``: ``%cloudburst call score [1, 2] limit=0.5``.

        `plot` picks what says most: the timeline of a DAG's call, two versions of a function against each
        other, the distribution of the latency; or KIND is one of latency, breakdown, timeline, over-time,
        throughput and compare. With ``--live`` it follows the calls to come.

        `status`, `list`, `keys`, `plot` and `down` never start a runtime; `dag` and `call` do if none runs.
        """
        __tracebackhide__ = True
        try:
            command, rest = commands.split_command(line)
            return getattr(self, f"_{command}")(rest)
        except commands.CommandError as error:
            raise UsageError(str(error)) from None

    def _up(self, rest: str) -> Any:
        wanted = commands.parse_up(rest)
        state_dir = os.path.expanduser(wanted.state_dir) if wanted.state_dir else None
        client.api().up(executors=wanted.executors, state_dir=state_dir, seed=wanted.seed)
        return client.api().status()

    def _down(self, rest: str) -> Note:
        commands.parse_nothing("down", rest)
        if not client.api().running():
            return Note(NOT_RUNNING)
        client.api().down()
        return Note("the runtime is stopped")

    def _connect(self, rest: str) -> Any:
        __tracebackhide__ = True
        api, address = client.api(), commands.parse_word("connect", rest)
        try:
            api.connect(address)
        except api.errors.RuntimeUnavailable as error:  # it says what to do; where it was raised says nothing
            raise error.with_traceback(None) from None
        return api.status()

    def _status(self, rest: str) -> Any:
        commands.parse_nothing("status", rest)
        return client.api().status() if client.api().running() else Note(NOT_RUNNING)

    def _list(self, rest: str) -> Names | Note:
        prefix = commands.parse_word("list", rest, "")
        if not client.api().running():
            return Note(NOT_RUNNING)
        dags = [name for name in client.api().dags() if name.startswith(prefix)]
        return Names({"functions": list(client.api().functions(prefix)), "dags": dags})

    def _keys(self, rest: str) -> Any:
        prefix = commands.parse_word("keys", rest, "")
        if not client.api().running():
            return Note(NOT_RUNNING)
        return client.api().browse(prefix)

    def _plot(self, rest: str) -> Any:
        name, kind, follow = commands.parse_plot(rest)
        api = client.api()
        if not api.running():
            return Note(NOT_RUNNING)
        if name not in (*api.functions(), *api.dags()):
            known = [*api.functions(), *api.dags()]
            raise commands.misused("plot", self._unknown("function or DAG", name, known))
        try:
            return api.plots.live(name, kind) if follow else api.plots.of(name, kind)
        except ValueError as error:
            raise commands.CommandError(str(error)) from None

    def _dag(self, rest: str) -> Any:
        __tracebackhide__ = True
        name, expression = commands.parse_dag(rest)
        dag = client.api().dag(name, commands.build_dag(expression, self._function))
        if name.isidentifier() and not client.is_handle(self.shell.user_ns.get(name)):
            self.shell.user_ns[name] = dag
        return dag

    def _call(self, rest: str) -> Any:
        __tracebackhide__ = True
        name, text = commands.split_name("call", rest)
        arguments = commands.parse_arguments(text)
        target = self._target(name)
        taken = f"(lambda *args, **kwargs: (args, kwargs))({arguments})"
        args, kwargs = eval(compile(taken, "<cloudburst call>", "eval"), self.shell.user_ns)
        return target(*args, **kwargs)

    def _function(self, name: str) -> Any:
        """The function of that name: the notebook's, or a registered one."""
        mine = self.shell.user_ns.get(name)
        if client.is_node(mine):
            return mine
        found = _find(client.api().get_function, name)
        if found is None:
            raise commands.misused("dag", self._unknown("function", name, client.api().functions()))
        return found

    def _target(self, name: str) -> Any:
        """What `call` calls: a function or DAG of the notebook, or a registered one."""
        mine = self.shell.user_ns.get(name)
        if client.is_node(mine) and callable(mine):
            return mine
        api = client.api()
        found = _find(api.get_function, name) or _find(api.get_dag, name)
        if found is None:
            known = [*api.functions(), *api.dags()]
            raise commands.misused("call", self._unknown("function or DAG", name, known))
        return found

    def _unknown(self, what: str, name: str, known: list[str]) -> str:
        if name in self.shell.user_ns:
            kind = type(self.shell.user_ns[name]).__name__
            return f"{name!r} is a {kind} here, and no {what} of that name is registered"
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"no {what} {name!r} is registered{hint}"


def _find(look_up: Any, name: str) -> Any:
    try:
        return look_up(name)
    except (FunctionNotFound, DagNotFound):
        return None


def _entry(found: Captured, handle: Any) -> Entry:
    version = 0 if found.needs_arguments else handle.version or 0
    return Entry(handle.name, version, found.kind, found.signature)


@context_matcher(priority=100)  # type: ignore[untyped-decorator]
def _match(context: CompletionContext) -> SimpleMatcherResult:
    """The shell's matcher for the magics' lines and for names in quotes.

    It goes first, so that where it knows something nobody else is asked: Python means nothing there.
    """
    line = context.line_with_cursor[: context.cursor_position]
    names = get_ipython().user_ns
    found = completion.complete_magic(line, names) or completion.complete_call(line, names)
    begun, words = found if found is not None else ("", [])
    return {
        "completions": [SimpleCompletion(word, type="name") for word in words],
        "matched_fragment": begun,
        "suppress": bool(words),
        "ordered": True,
    }


def load_ipython_extension(shell: Shell) -> None:
    """Give the shell the magics and their completion: what ``%load_ext`` calls."""
    shell.register_magics(CloudburstMagics)
    if _match not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(_match)


def unload_ipython_extension(shell: Shell) -> None:
    """Take them away again: what ``%unload_ext`` calls."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("cloudburst", None)
    if _match in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(_match)
