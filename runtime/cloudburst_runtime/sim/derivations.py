"""Whether the result of a call is what its DAG makes of its arguments.

Law: knows what a function is *called* and what feeds it, not what it does: a term says what went in.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.sim.history import Access, Act, is_term

SPREADS = ("pair",)
"""Functions that return two results, the second and third argument positions of which tell them apart."""


def matches(value: Any, act: Act, graph: list[Any], futures: dict[int, Any], oldest: dict[str, int]) -> str:
    """What is wrong with a result; empty if nothing is.

    Parameters
    ----------
    graph
        Nodes, edges by name, and the names of MULTIEXEC nodes.
    futures
        Results of the calls that are arguments.
    oldest
        The oldest version that each function may have run in.
    """
    nodes, edges, multi = graph
    starts = [start for start, _ in edges]
    [sink] = [node for node in nodes if node not in starts]
    return _Derivation(act, edges, multi, futures, oldest).wrong(value, sink)


class _Derivation:
    """The comparison of one result."""

    def __init__(
        self,
        act: Act,
        edges: list[tuple[str, str]],
        multi: list[str],
        futures: dict[int, Any],
        oldest: dict[str, int],
    ) -> None:
        self.act = act
        self.edges = edges
        self.multi = multi
        self.futures = futures
        self.oldest = oldest

    def wrong(self, value: Any, node: str) -> str:
        """What is wrong with ``value`` as a result of ``node``."""
        if not is_term(value) or value[1] != node:
            return f"{value!r:.60} is no result of {node}"
        if value[2] < self.oldest.get(node, 1):
            return f"{node} ran in version {value[2]}, and {self.oldest[node]} was acknowledged before"
        preds = [start for start, end in self.edges if end == node]
        if node in self.multi:
            return self._wrong_choice(value[4], preds)
        fixed = self._fixed(node, not preds)
        inputs = value[4][len(fixed) :]
        for given, arg in zip(fixed, value[4], strict=False):
            if not self._same(given, arg):
                return f"{node} got {arg!r:.60} for {given!r:.60}"
        return self._wrong_script(node, value) or self._wrong_inputs(node, inputs, preds)

    def _fixed(self, node: str, source: bool) -> list[Any]:
        given = self.act.value
        if node in given:
            return list(given[node])
        return list(given[None]) if source and None in given else []

    def _same(self, given: Any, arg: Any) -> bool:
        how = getattr(given, "how", "")
        if how == "ref":
            return arg is not None
        if how == "future":
            return bool(arg == self.futures[given.what])
        return bool(arg == given)

    def _wrong_choice(self, args: list[Any], preds: list[str]) -> str:
        if not preds:
            return ""
        if len(args) != 1:
            return f"one input was to be chosen, and {len(args)} were"
        problems = [self.wrong(args[0], pred) for pred in preds if pred != "loses"]
        return problems[0] if problems and all(problems) else ""

    def _wrong_inputs(self, node: str, inputs: list[Any], preds: list[str]) -> str:
        expected = [pred for pred in preds for _ in range(2 if pred in SPREADS else 1)]
        if node == "ponger":
            return ""
        if len(inputs) != len(expected):
            return f"{node} got {len(inputs)} inputs, {len(expected)} were due"
        return next(filter(None, map(self._wrong_input, inputs, expected)), "")

    def _wrong_input(self, value: Any, node: str) -> str:
        if node in SPREADS and is_term(value) and value[4]:
            value = [*value[:4], value[4][:-1]]
        return self.wrong(value, node)

    @staticmethod
    def _wrong_script(node: str, value: Any) -> str:
        """Whether what was done to the store is what was asked for."""
        if node not in ("touch", "again"):
            return ""
        asked = [(kind, key) for kind, key, _ in value[4][0]]
        done = [(kind, key) for kind, key, _ in value[3]]
        return "" if asked == done else f"{node} was to do {asked}, and did {done}"


def accesses(value: Any, act: Act) -> list[Access]:
    """What a result's derivation did to the store, what fed a function before what it did itself."""
    found: list[Access] = []
    if not is_term(value):
        return found
    for arg in value[4]:
        found += accesses(arg, act)
    if value[1] == act.name:
        found += _references(value, act)
    return [*found, *(Access(*access) for access in value[3])]


def _references(value: Any, act: Act) -> list[Access]:
    given = (act.value or {}).get(None, [])
    return [
        Access("get", arg.what, value[4][slot])
        for slot, arg in enumerate(given)
        if getattr(arg, "how", "") == "ref"
    ]
