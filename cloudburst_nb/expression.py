"""DAG expressions: ``load >> [left, right] >> merge``.

Law: this module knows names and arrows, and no message or runtime. An expression is refused for its shape
(a tuple, a plain function); whether the whole is a DAG with one sink is for the scheduler to say.

An expression has *heads*, which an ``>>`` before it feeds, and *tails*, which feed what follows. A list
puts expressions side by side: its heads and tails are theirs, in order. A function is one node however
often it is written, so ``[a >> b, a] >> c`` has three nodes, and ``c`` gets the results of ``b`` and
``a``, in the order in which the edges into it were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from cloudburst_runtime.errors import InvalidDag, check_name

from .capturing import is_marked

Edge: TypeAlias = tuple[str, str]


class Composable:
    """What may stand in a DAG expression: ``>>`` on either side makes an `Expression`.

    A subclass has a ``name`` and a ``__cloudburst_raw__``.
    """

    def __rshift__(self, other: object) -> Expression:
        return Expression.of(self).then(Expression.of(other))

    def __rrshift__(self, other: object) -> Expression:
        return Expression.of(other).then(Expression.of(self))


class Expression(Composable):
    """Functions joined by ``>>`` and lists. Immutable.

    Attributes
    ----------
    functions
        The names, in the order of their first mention.
    edges
        Pairs of names, in the order in which they were made.
    heads, tails
        The names that an ``>>`` before, or after, the expression connects to.
    members
        The cloud functions in it, by name; a function that was given by its name is not among them.
    text
        The expression as it can be written.

    Examples
    --------
    >>> pipe = Expression.of("load") >> ["left", "right"] >> "merge"
    >>> pipe
    load >> [left, right] >> merge
    >>> pipe.edges
    (('load', 'left'), ('load', 'right'), ('left', 'merge'), ('right', 'merge'))
    """

    def __init__(
        self,
        functions: Iterable[str],
        edges: Iterable[Edge],
        heads: Iterable[str],
        tails: Iterable[str],
        text: str,
        members: dict[str, Any],
    ) -> None:
        self.functions = tuple(dict.fromkeys(functions))
        self.edges = tuple(dict.fromkeys(edges))
        self.heads = tuple(dict.fromkeys(heads))
        self.tails = tuple(dict.fromkeys(tails))
        self.text = text
        self.members = members

    @classmethod
    def of(cls, part: object) -> Expression:
        """The expression for a cloud function, a name, or a list of these and of expressions.

        Raises
        ------
        TypeError
            If it is anything else, with what to write instead.
        InvalidDag
            If it is an empty list.
        """
        if isinstance(part, Expression):
            return part
        if isinstance(part, list):
            return _side_by_side(part)
        name = function_name(part)
        members = {} if isinstance(part, str) else {name: part}
        return cls([name], [], [name], [name], name, members)

    def then(self, other: Expression) -> Expression:
        """Both, with an edge from each tail of this one to each head of the other."""
        return Expression(
            [*self.functions, *other.functions],
            [*self.edges, *other.edges, *((tail, head) for head in other.heads for tail in self.tails)],
            self.heads,
            other.tails,
            f"{self.text} >> {other.text}",
            {**self.members, **other.members},
        )

    def __repr__(self) -> str:
        return self.text


def is_cloud_function(part: object) -> bool:
    """True if ``part`` is a registered function: it has a name, and the function behind it."""
    return is_marked(part) and not isinstance(part, type) and isinstance(getattr(part, "name", None), str)


def _side_by_side(parts: list[Any]) -> Expression:
    if not parts:
        raise InvalidDag("an empty list in a DAG expression: it must hold at least one function")
    found = [Expression.of(part) for part in parts]
    return Expression(
        [name for part in found for name in part.functions],
        [edge for part in found for edge in part.edges],
        [name for part in found for name in part.heads],
        [name for part in found for name in part.tails],
        f"[{', '.join(part.text for part in found)}]",
        {name: member for part in found for name, member in part.members.items()},
    )


def function_name(part: Any) -> str:
    """The name of a cloud function, or a name given as one; else a `TypeError` that says what to write."""
    if isinstance(part, str):
        return check_name(part, "function")
    if is_cloud_function(part):
        return str(part.name)
    if isinstance(part, tuple):
        raise TypeError(f"functions side by side are written as a list, [a, b], not as a tuple: {part!r:.80}")
    if callable(part):
        name = getattr(part, "__name__", type(part).__name__)
        raise TypeError(
            f"{name} is a plain Python {'class' if isinstance(part, type) else 'function'}, not a registered "
            f"one: register it first, with @cb.function or with %%cloudburst above its cell"
        )
    raise TypeError(
        f"a DAG is made of cloud functions, their names, and lists of these; "
        f"{type(part).__name__} is none of them: {part!r:.80}"
    )
