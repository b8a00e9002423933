"""What a session has seen, and what its writes come with: for calls in executors and for clients alike.

Law: functions from a session and an entry to what the session is then. A `Session` that was handed on in a
message is never changed: whoever goes on from there takes a copy (`begun`), and joins the others into it.
"""

from __future__ import annotations

from cloudburst_runtime.anna.outbox import Terms
from cloudburst_runtime.ids import Micros
from cloudburst_runtime.lattices.causal import Context
from cloudburst_runtime.lattices.wrap import seen_of
from cloudburst_runtime.messages import Due, Entry, Fix, Session
from cloudburst_runtime.vectors import Vector, joined

SEEN_MAX = 1024
"""Keys of which a session remembers what it has seen; of those before, its writes replace nothing."""


def begun(session: Session) -> Session:
    """A session that goes on from ``session``, to be changed."""
    mine = Session(session.level, session.home)
    if session.seen:
        mine.seen = dict(session.seen)
    if session.fixed:
        mine.fixed = dict(session.fixed)
    if session.wrote:
        mine.wrote = dict(session.wrote)
    if session.beside:
        mine.start, mine.beside = session.start, session.beside
    if session.level == "atomic":
        mine.writes, mine.due, mine.waits = dict(session.writes), dict(session.due), session.waits
    return mine


def join(session: Session, other: Session) -> None:
    """Let a session know all that another one does.

    What is fixed of a key stands only if it was fixed after all own writes that are known of now.
    """
    for key, (generation, writes) in other.seen.items():
        _see(session, key, generation, writes)
    for key, write in other.writes.items():
        session.writes[key] = session.writes[key].merge(write) if key in session.writes else write
    session.waits = max(session.waits, other.waits)
    session.due = latest(session.due, other.due)
    if not other.fixed and not other.wrote:
        return
    if not session.fixed and not session.wrote:
        session.fixed, session.wrote = dict(other.fixed), dict(other.wrote)
        return
    wrote = dict(session.wrote)
    for key, nodes in other.wrote.items():
        wrote[key] = _most(wrote.get(key, {}), nodes)
    session.fixed = {**_standing(other, wrote), **_standing(session, wrote)}
    session.wrote = wrote


def latest(mine: dict[str, Due], theirs: dict[str, Due]) -> dict[str, Due]:
    """Of each key the later of what it is due by two that have read.

    Examples
    --------
    >>> first, second = Due((7, "e1"), "c1.1"), Due((9, "e1"), "c1.2")
    >>> latest({"k": first}, {"k": second, "j": first})
    {'k': Due(order=(9, 'e1'), transaction='c1.2'), 'j': Due(order=(7, 'e1'), transaction='c1.1')}
    """
    if not theirs:
        return mine
    more = {key: due for key, due in theirs.items() if key not in mine or mine[key].order < due.order}
    return {**mine, **more}


def see(session: Session, key: str, entry: Entry) -> None:
    """A session has read an entry, or made this write."""
    writes = seen_of(entry.lattice)
    if writes is not None:
        _see(session, key, entry.generation, writes)


def terms(session: Session | None, key: str, deps: Vector, known: Vector) -> Terms:
    """What a write of the key by this session comes with, if its writer may have known of ``known``."""
    seen = None if session is None else session.seen.get(key)
    return Terms(deps, known=known) if seen is None else Terms(deps, *seen, known=known)


def write_at(session: Session, key: str, node: int) -> None:
    """The session has written the key, at this node: what it reads of it is to be fixed anew."""
    nodes = session.wrote.get(key, {})
    session.wrote[key] = {**nodes, node: nodes.get(node, 0) + 1}
    session.fixed.pop(key, None)


def after(entry: Entry) -> Vector:
    """The changes that whoever has read this entry must find."""
    return joined(entry.version, entry.deps)


def _see(session: Session, key: str, generation: Micros, writes: Context) -> None:
    known = session.seen.pop(key, None)
    if known is None or known[0] < generation:
        known = (generation, writes)
    elif known[0] == generation:
        known = (generation, known[1].joined(writes))
    session.seen[key] = known
    if len(session.seen) > SEEN_MAX:
        del session.seen[next(iter(session.seen))]


def _standing(session: Session, wrote: dict[str, dict[int, int]]) -> dict[str, Fix]:
    """What a session has fixed after all these writes."""
    if not wrote:
        return session.fixed
    before = session.wrote
    return {key: fix for key, fix in session.fixed.items() if before.get(key) == wrote.get(key)}


def _most(mine: dict[int, int], theirs: dict[int, int]) -> dict[int, int]:
    return {node: max(mine.get(node, 0), theirs.get(node, 0)) for node in sorted({*mine, *theirs})}
