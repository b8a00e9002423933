"""What determined the outcome of a task: noted while it runs, reported with its step.

Law: only calls that are recorded come here. What is noted is what user code was told, as lattices and
encoded values, so that it can be told the same again; nothing that it was told is changed by the noting.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.executor.library import UserLibrary
from cloudburst_runtime.executor.tasks import Outcome, Task
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.wrap import detached
from cloudburst_runtime.messages import Failure, Seen, Witness
from cloudburst_runtime.values import Value
from cloudburst_runtime.vectors import Vector


def witness(task: Task, outcome: Outcome, batch: list[Task]) -> Witness:
    """What determined ``outcome``, once ``task`` ran in ``batch``; what was noted is handed over."""
    assert task.function is not None
    seen, task.seen = task.seen, []
    built, task.built = task.built, None
    refs = [] if task.args is None or task.resolved is None else task.args.refs
    return Witness(
        task.function.name,
        task.function.version,
        [trigger.source for trigger in task.inputs],
        [task.resolved[ref.slot] for ref in refs] if task.resolved is not None else [],
        seen,
        outcome.value if task.targets else None,
        outcome.failure,
        batch.index(task),
        len(batch),
        built,
    )


class WitnessLibrary(UserLibrary):
    """The user library of a call that is recorded: it notes what it is asked, and what it answers."""

    def __init__(self, *served: Any) -> None:
        super().__init__(*served)
        self._unnoted = self._perform
        self._perform = self._perform_noted

    def _note(self, seen: Seen) -> None:
        self._current.seen.append(seen)

    def _lookup(self, keys: list[str]) -> list[Any]:
        found = super()._lookup(keys)
        self._note(Seen("get", keys, found, [self._version(*each) for each in zip(keys, found, strict=True)]))
        return found

    def _version(self, key: str, found: AnyLattice | None) -> Vector:
        """The version of what was just read, if the cache holds that very thing."""
        entry = self._core.cache.peek(key, {})
        return {} if entry is None or entry.lattice is not found else entry.version

    def _perform_noted(self, kind: str, arguments: tuple[Any, ...]) -> Any:
        note = _note_of(kind, arguments)
        result = self._unnoted(kind, arguments)
        if note is not None:
            note.failure = result if isinstance(result, Failure) else None
            self._note(note)
        return result

    def _received(self, mail: list[tuple[str, Value]]) -> list[tuple[str, Any]]:
        self._note(Seen("recv", mail=mail))
        return super()._received(mail)

    def getid(self) -> str:
        """As of the library."""
        told = super().getid()
        self._note(Seen("getid", text=told))
        return told

    get_id = getid

    def now(self) -> float:
        """As of the library."""
        told = super().now()
        self._note(Seen("now", at=told))
        return told


def _note_of(kind: str, arguments: tuple[Any, ...]) -> Seen | None:
    """What is noted of an operation that changes something, copied before user code can change it."""
    if kind == "write":
        return Seen("put", [arguments[0]], [detached(arguments[1])])
    if kind == "delete":
        return Seen("delete", [arguments[0]])
    if kind == "send":
        return Seen("send", [arguments[0]], mail=[("", arguments[1].copied())])
    return None
