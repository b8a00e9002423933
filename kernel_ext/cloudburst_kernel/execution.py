"""Running a captured cell as IPython runs any cell.

Law: IPython itself compiles, runs and displays; here is only what a cell magic stands in the way of.

A magic runs inside a cell that IPython runs already. If the inner cell fails, IPython shows its traceback
as always; the outer cell must fail too, or a notebook would run on. So the error is raised again, and
IPython, about to show it a second time with the magic's own frames on top, finds that this was done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeAlias

from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import ExecutionResult

Shell: TypeAlias = Any
"""An `InteractiveShell`, which is annotated in too few places to be checked against."""


def namer(shell: Shell, raw_cell: str) -> Callable[[str], str]:
    """The file name for a text of this cell; IPython keeps the text, for tracebacks and `inspect`."""

    def name_of(text: str) -> str:
        return str(shell.compile.cache(text, shell.displayhook.prompt_count, raw_code=raw_cell))

    return name_of


def run(shell: Shell, text: str, filename: str) -> None:
    """Run Python text in the user's namespace; its last expression is displayed.

    Raises
    ------
    BaseException
        What the text raised, after IPython has shown it.
    """
    __tracebackhide__ = True
    tree = shell.transform_ast(shell.compile.ast_parse(text, filename))
    quiet: Any = DisplayHook.semicolon_at_end_of_expression
    new_result: Any = ExecutionResult
    result = new_result(None)
    _drive(
        shell.run_ast_nodes(
            tree.body,
            filename,
            interactivity="none" if quiet(text) else shell.ast_node_interactivity,
            compiler=shell.compile,
            result=result,
        )
    )
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        raise_shown(shell, error)


def raise_syntax_error(shell: Shell, error: BaseException) -> NoReturn:
    """Show the error being handled as IPython shows one of a cell that is no Python; then raise it."""
    __tracebackhide__ = True
    shell.showsyntaxerror()
    raise_shown(shell, error)


def raise_shown(shell: Shell, error: BaseException) -> NoReturn:
    """Raise an error that is on the screen already: the shell will not show it again."""
    __tracebackhide__ = True
    replaced = vars(shell).get("showtraceback")
    show = shell.showtraceback

    def show_unless_shown(*args: Any, **kwargs: Any) -> None:
        if replaced is None:
            del shell.showtraceback
        else:
            shell.showtraceback = replaced
        if sys.exc_info()[1] is not error:
            show(*args, **kwargs)

    shell.showtraceback = show_unless_shown
    raise error


def _drive(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that never waits: the text holds no await outside a function."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("a %%cloudburst cell cannot wait outside a function")
