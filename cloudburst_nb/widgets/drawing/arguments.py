"""Fixed arguments: from what is written in the editor to values, in the notebook's namespace.

Law: the text was typed by whoever sits at the notebook, and is evaluated where a cell would be.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection
from typing import Any

from cloudburst_nb.widgets.drawing.editing import Refused, parsed
from cloudburst_nb.widgets.drawing.sketch import Sketch


def evaluated(sketch: Sketch, skipped: Collection[str] = ()) -> dict[str | None, list[Any]]:
    """The fixed arguments of each function that has some and is not skipped.

    Raises
    ------
    Refused
        If one cannot be evaluated, with what it says.
    """
    space = namespace()
    given: dict[str | None, list[Any]] = {}
    for name, node in sketch.nodes.items():
        if node.arguments and name not in skipped:
            given[name] = _value(name, node.arguments, space)
    return given


def _value(name: str, text: str, space: dict[str, Any]) -> list[Any]:
    expression = ast.fix_missing_locations(ast.Expression(parsed(text)))
    try:
        value: list[Any] = eval(compile(expression, f"<arguments of {name}>", "eval"), space)
    except Exception as error:
        raise Refused(f"the arguments of {name}, {text:.60}, raise {type(error).__name__}: {error}") from None
    return value


def namespace() -> dict[str, Any]:
    """The notebook's names; those of the main program elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    found: dict[str, Any] = vars(sys.modules["__main__"]) if shell is None else shell.user_ns
    return found
