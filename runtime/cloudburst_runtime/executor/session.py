"""What running calls may see at their consistency levels, and what their writes come with.

Law: everything that a level asks of a read or a write in an executor is decided here; `snapshots` keeps and
fetches what a call reads repeatedly, the cache knows what it holds and nothing of levels.

At every level a read includes the *floor* of its call. ``mk`` and ``dsc`` raise it by what is read: an
entry's version, and what its writers had seen. At ``mk`` the floor is the cache's, `Levels.cut`, below which
no read at these levels stays, so what the cache shows is a causal cut; at ``dsc`` it is the call's too, and
travels with it. Their writes carry the floor as dependencies. A floor is a vector over stores: what travels
does not grow with the keys of the store, but with those causal ones that the call itself has read.
"""

from __future__ import annotations

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.anna.outbox import Terms
from cloudburst_runtime.executor.snapshots import Snapshots
from cloudburst_runtime.executor.tasks import Task
from cloudburst_runtime.lattices import LWW, AnyLattice, Causal, Custom
from cloudburst_runtime.levels import CAUSAL, DEPENDENT, REPEATABLE
from cloudburst_runtime.messages import WAITS, Entry, Failure, Session
from cloudburst_runtime.vectors import Vector, joined


class Levels:
    """The levels of the calls of one executor.

    Parameters
    ----------
    cache, snapshots
        Where reads are answered from.

    Attributes
    ----------
    cut
        What the cache has shown to calls at ``mk`` and ``dsc``, and what that depends on.
    """

    def __init__(self, cache: CacheCore, snapshots: Snapshots) -> None:
        self._cache = cache
        self._snapshots = snapshots
        self.cut: Vector = {}

    # ------------------------------------------------------------ tasks

    @staticmethod
    def begin(task: Task, came: Session | None) -> None:
        """The session of a task is what its inputs bring, each of them; without any, what its call brings."""
        if came is None:
            return
        if task.session is None:
            task.session = sessions.begun(came)
        else:
            sessions.join(task.session, came)

    def ready(self, task: Task) -> None:
        """The inputs of a task at another level than ``lww`` are there."""
        if task.session is None:
            self.begin(task, task.header.session)
        if task.own is None and self._snapshots.agreement.is_apart(task):
            task.own = {}

    @staticmethod
    def level(task: Task) -> str:
        """The level of a task's call."""
        return "lww" if task.session is None else task.session.level

    # ------------------------------------------------------------ reads

    def floor(self, task: Task) -> Vector:
        """The changes that a read of this task must include."""
        if task.session is not None and task.session.level in DEPENDENT:
            return joined(task.floor, self.cut)
        return task.floor

    def peek(self, task: Task, key: str) -> Entry | None:
        """What the task reads of a key, if that can be said at once."""
        session = task.session
        if session is None:
            entry = self._cache.peek(key, task.floor)
        elif session.level in REPEATABLE:
            entry = self._snapshots.peek(task, key)
            if entry is not None and type(entry.lattice) not in _KEEPS_SIBLINGS:
                task.met[key] = entry.version  # as `see` would, at these levels
                return entry
        else:
            entry = self._cache.peek(key, self.floor(task))
        if entry is not None:
            task.met[key] = entry.version
            if session is not None or type(entry.lattice) in _KEEPS_SIBLINGS:
                self.see(task, key, entry)
        return entry

    def see(self, task: Task, key: str, entry: Entry) -> None:
        """The task has read this entry."""
        task.met[key] = entry.version
        session = task.session
        if session is None:
            if type(entry.lattice) not in _KEEPS_SIBLINGS:
                return
            session = task.session = Session("lww")
        if session.level in DEPENDENT:
            after = sessions.after(entry)
            self.cut = joined(self.cut, after)
            if session.level == "dsc":
                task.floor = joined(task.floor, after)
        if session.level in CAUSAL or type(entry.lattice) in _KEEPS_SIBLINGS:
            sessions.see(session, key, entry)

    # ------------------------------------------------------------ writes

    def terms(self, task: Task, key: str) -> Terms:
        """What a write of this task comes with."""
        session = task.session
        depends = session is not None and session.level in DEPENDENT
        known = joined(task.told, task.met.get(key, {}))
        return sessions.terms(session, key, self.floor(task) if depends else {}, known)

    def buffer(
        self, task: Task, key: str, lattice: AnyLattice | None, sync: bool | None = None
    ) -> Failure | None:
        """At ``atomic`` a write waits in the session until the call is over; None if it may."""
        session = task.session
        assert session is not None
        if not isinstance(lattice, LWW):
            wish = "be deleted" if lattice is None else f"get a {lattice.name!r} value"
            text = (
                f"at level 'atomic' a function only puts plain values, and key {key!r} was to {wish}: do "
                "that outside of the call, or at another level"
            )
            return Failure("ConsistencyError", text)
        session.writes[key] = lattice
        session.waits = max(session.waits, WAITS.index(sync))
        return None

    def wrote(self, task: Task, key: str, entry: Entry | None) -> None:
        """A write (as an entry) or a deletion of the task was acknowledged: what it reads now includes it."""
        task.floor = joined(task.floor, self._cache.floor)
        if entry is not None:
            self.see(task, key, entry)
        task.met[key] = task.floor
        session = task.session
        if session is None:
            return
        if session.level in DEPENDENT:
            self.cut = joined(self.cut, task.floor)
        elif session.level == "dsrr":
            sessions.write_at(session, key, task.id.node)
            if task.own:
                task.own.pop(key, None)


_KEEPS_SIBLINGS = (Causal, Custom)
