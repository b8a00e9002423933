"""The checkers against the definitions on tiny histories: there, orders can be enumerated."""

from __future__ import annotations

from itertools import combinations, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudburst_runtime.sim.consistency import causal, guarantees, siblings
from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import Access, Record, Span
from cloudburst_runtime.sim.consistency.repeatable import repeatable
from cloudburst_runtime.sim.history import Spot

SETTINGS = settings(max_examples=150, deadline=None)
Pairs = set[tuple[int, int]]


@st.composite
def records(draw, size=4, whole=False, steps=False):
    """Accesses of two sessions (or of two nodes each of two executions), one after the other."""
    written: dict[str, list[str]] = {"x": [], "y": []}
    kinds = draw(st.lists(st.sampled_from(["read", "write"]), min_size=2, max_size=size))
    plans = [(kind, draw(st.sampled_from("xy")), draw(st.integers(0, 3))) for kind in kinds]
    for number, (kind, key, _) in enumerate(plans):
        if kind == "write":
            written[key].append(f"v{number}")
    accesses = []
    for number, (kind, key, who) in enumerate(plans):
        values = (f"v{number}",)
        if kind == "read":
            most = len(written[key]) if whole else 1
            values = tuple(draw(st.lists(st.sampled_from(written[key] or [""]), max_size=most, unique=True)))
            values = tuple(value for value in values if value)
        accesses.append(_placed(number, kind, key, values, who, steps)._replace(whole=whole))
    return Record(tuple(accesses))


def _placed(number: int, kind: str, key: str, values: tuple[str, ...], who: int, steps: bool) -> Access:
    if not steps:
        lane = f"c{who % 2}"
        return Access(number, kind, key, values, lane, number, Span(lane, number, number))
    call, node = f"c{who // 2}.1", who % 2
    spot = Spot(call, 0, node, (0,) if node else (), f"e{node}")
    return Access(number, kind, key, values, spot.session, number, Span(call, 0, None), spot=spot)


# ---------------------------------------------------------------- the definitions, word for word


def session_pairs(record: Record) -> Pairs:
    def before(a: Access, b: Access) -> bool:
        if a.spot is None or b.spot is None:
            return a.lane == b.lane and a.number < b.number
        if a.execution != b.execution:
            return False
        return a.spot.node in b.spot.after or (a.spot.node == b.spot.node and a.number < b.number)

    return {(i, j) for i, a in enumerate(record) for j, b in enumerate(record) if i != j and before(a, b)}


def read_pairs(record: Record) -> Pairs:
    return {
        (i, j)
        for i, write in enumerate(record)
        for j, read in enumerate(record)
        if (write.kind, read.kind, write.key) == ("write", "read", read.key)
        and write.values[0] in read.values
    }


def closed(pairs: Pairs) -> Pairs:
    while more := {(i, j) for i, k in pairs for h, j in pairs if h == k} - pairs:
        pairs = pairs | more
    return pairs


def causally_convergent(record: Record) -> bool:
    """There are a causal order and a total one around it, by which each read returns the last it knows."""
    positions = range(len(record))
    session = session_pairs(record)
    for total in permutations(positions):
        place = {position: index for index, position in enumerate(total)}
        if any(place[i] > place[j] for i, j in session):
            continue
        free = [(i, j) for i, j in combinations(total, 2) if (i, j) not in session]
        for chosen in range(1 << len(free)):
            order = session | {pair for index, pair in enumerate(free) if chosen >> index & 1}
            if closed(order) == order and all(
                _returns_last(record, read, order, place) for read in positions
            ):
                return True
    return False


def _returns_last(record: Record, position: int, order: Pairs, place: dict[int, int]) -> bool:
    read = record.accesses[position]
    if read.kind != "read":
        return True
    known = [
        i
        for i, j in order
        if j == position and record.accesses[i].kind == "write" and record.accesses[i].key == read.key
    ]
    last = [record.accesses[max(known, key=place.__getitem__)].values[0]] if known else []
    return list(read.values) == last


def older(record: Record, values: tuple[str, ...], write: int, order: Pairs) -> bool:
    """Whether all that a read returned was overwritten by a write."""
    access = record.accesses[write]
    shown = [
        i for i, a in enumerate(record) if a.kind == "write" and a.key == access.key and a.values[0] in values
    ]
    return all((i, write) in order for i in shown)


def owed(record: Record, session: Pairs) -> dict[str, Pairs]:
    """(write, read): for each session guarantee, what a read must show."""
    reads_from = read_pairs(record)
    is_write = [access.kind == "write" for access in record]
    own = {(w, r) for w, r in session if is_write[w] and not is_write[r]}
    seen = {(w, r) for w, earlier in reads_from for e, r in session if e == earlier and not is_write[r]}
    writes = {(v, r) for v, w in session for x, r in seen if x == w and is_write[v]}
    follows = {
        (v, r) for v, reading in reads_from for e, w in session for x, r in seen if e == reading and x == w
    }
    return {"own": own, "seen": seen, "writes": writes, "follows": follows}


CHECKS = {
    "own": guarantees.read_your_writes,
    "seen": guarantees.monotonic_reads,
    "writes": guarantees.monotonic_writes,
    "follows": guarantees.writes_follow_reads,
}


# ---------------------------------------------------------------- the laws


@SETTINGS
@given(records())
def test_a_history_is_causally_convergent_exactly_if_no_bad_pattern_is_in_it(record):
    causality = Causality(record)
    patterns = (causal.thin_air, causal.cyclic, causal.causal, causal.conflicts)
    assert causally_convergent(record) == (not any(list(check(causality)) for check in patterns))


@SETTINGS
@given(records(size=7) | records(size=7, steps=True))
def test_session_guarantees_are_what_their_definitions_say(record):
    session = session_pairs(record)
    order = closed(session | read_pairs(record))
    causality = Causality(record)
    if any((i, i) in order for i in range(len(record))):
        assert list(causal.cyclic(causality))
        return
    for name, pairs in owed(record, session).items():
        bad = {
            record.accesses[r].number
            for w, r in pairs
            if record.accesses[w].key == record.accesses[r].key
            and older(record, record.accesses[r].values, w, order)
        }
        assert {violation.accesses[0].number for violation in CHECKS[name](causality)} == bad, name


@SETTINGS
@given(records(size=7, steps=True))
def test_bits_say_what_pairs_say(record):
    order = closed(session_pairs(record) | read_pairs(record))
    causality = Causality(record)
    if list(causal.cyclic(causality)):
        assert any((i, i) in order for i in range(len(record)))
        return
    for position in range(len(record)):
        before = {i for i, j in order if j == position and record.accesses[i].kind == "write"}
        assert {w for w in causality.writes if causality.past[position] & causality.bit[w]} == before
        for start in range(len(record)):
            path = causality.path(start, position)
            assert bool(path) == ((start, position) in order or start == position)


@SETTINGS
@given(records(size=6, whole=True))
def test_all_siblings_are_the_newest_that_are_known_of_the_key(record):
    """A read of siblings misses one exactly if a known write of the key is neither there nor overwritten."""
    keyed = {key: closed(_of_key(session_pairs(record) | read_pairs(record), record, key)) for key in "xy"}
    if any((i, i) in order for order in keyed.values() for i in range(len(record))):
        return
    bad = set()
    for position, read in enumerate(record):
        order = keyed[read.key]
        shown = {i for i, j in read_pairs(record) if j == position}
        known = {i for i, j in order if j == position and record.accesses[i].kind == "write"}
        kept = {w for w in known if w in shown or any((w, s) in order for s in shown)}
        if read.kind == "read" and known - kept:
            bad.add(read.number)
    assert {violation.accesses[0].number for violation in siblings.per_key(Causality(record))} == bad


def _of_key(pairs: Pairs, record: Record, key: str) -> Pairs:
    return {(i, j) for i, j in pairs if record.accesses[i].key == record.accesses[j].key == key}


@SETTINGS
@given(records(size=7, steps=True))
def test_an_execution_is_repeatable_exactly_if_reads_with_the_same_writes_behind_them_agree(record):
    session, accesses = session_pairs(record), record.accesses
    if list(causal.cyclic(Causality(record))):
        return

    def behind(position: int) -> set[int]:
        return {
            i
            for i, j in session
            if j == position and accesses[i].kind == "write" and accesses[i].key == accesses[j].key
        }

    differ = any(
        one.execution == other.execution and one.key == other.key and set(one.values) != set(other.values)
        for (i, one), (j, other) in combinations(enumerate(record), 2)
        if one.kind == other.kind == "read" and behind(i) == behind(j)
    )
    assert bool(list(repeatable(Causality(record)))) == differ
