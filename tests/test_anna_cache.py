"""The cache by events and effects."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any, TypeAlias

import pytest

from cloudburst_runtime.anna.cache import TIMER, Answer, CacheCore, Effect
from cloudburst_runtime.anna.freshness import EARLY_MAX
from cloudburst_runtime.anna.shelf import ENTRY_OVERHEAD_BYTES
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import LWW, AnyLattice, Counter, Max, SetLattice
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import (
    Delete,
    Done,
    Entry,
    Failed,
    Failure,
    Forget,
    Get,
    GetReply,
    Message,
    Put,
    PutReply,
    Resync,
    Unwatch,
    Update,
)
from cloudburst_runtime.unanswered import BACKOFF_MAX
from cloudburst_runtime.values import encode


def shown(answer: Answer) -> Answer:
    """An answer with lattices instead of entries, and None for a write."""
    result: Any = answer.result
    if isinstance(result, list):
        return Answer(answer.op, [entry.lattice for entry in result])
    return answer if isinstance(result, Failure) else Answer(answer.op, None)


Outcome: TypeAlias = tuple[list[Message], list[Answer]]


class Driven:
    """A cache with a clock at hand: what it sends, answers and sets comes back by kind."""

    def __init__(self, caching: bool = True, bytes_max: int = 10**6) -> None:
        config = Config(resend_ms=100.0, cache_bytes_max=bytes_max)
        self.clock = HybridClock(0)
        self.core = CacheCore(config, "e1", self.clock, caching, count(1).__next__)
        self.now = 0.0
        self.timers: list[float] = []

    def split(self, effects: list[Effect]) -> Outcome:
        self.timers += [effect.due for effect in effects if isinstance(effect, SetTimer)]
        sends = [effect.message for effect in effects if isinstance(effect, Send)]
        return sends, [shown(effect) for effect in effects if isinstance(effect, Answer)]

    def read(self, op: int, *keys: str, floor: int = 0, wait: bool = False) -> Outcome:
        return self.split(self.core.read(op, list(keys), {"node": floor}, self.now, wait))

    def write(self, op: int, key: str, lattice: AnyLattice) -> Outcome:
        return self.split(self.core.write(op, key, lattice, self.now))

    def tell(self, message: Message) -> Outcome:
        return self.split(self.core.handle(Received("node", message), self.now))

    def wake(self, now: float) -> Outcome:
        self.now = now
        return self.split(self.core.handle(Timer(TIMER), now))

    def hold(self, key: str, lattice: AnyLattice | None, seq: int, pushed: int = 0) -> None:
        """Read a key that the replica has, so that it is held."""
        sends, _ = self.read(900, key, floor=10**9)
        get = sends[-1]
        assert isinstance(get, Get)
        entry = None if lattice is None else Entry(0, lattice)
        self.tell(GetReply(get.req, [entry], seq, pushed, self.core._sources.fresh["node"].epoch))


@pytest.fixture
def cache() -> Driven:
    return Driven()


# ---------------------------------------------------------------- reads


def test_a_first_read_announces_the_cache_and_asks(cache: Driven) -> None:
    assert cache.read(7, "a", "b", "a") == ([Resync(1), Get(1, ["a", "b"], False, True)], [])
    assert cache.timers == [100.0]
    sends, answers = cache.tell(GetReply(1, [Entry(0, Max(1)), None], 5, 0, 1))
    assert (sends, answers) == ([], [Answer(7, [Max(1), None, Max(1)])])
    assert cache.core.outstanding == 0
    assert cache.core.floor == {"node": 5}


def test_what_is_held_is_answered_at_once_up_to_the_floor(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    assert cache.read(8, "a", floor=5) == ([], [Answer(8, [Max(1)])])
    assert cache.core.peek("a", {"node": 5}) == Entry(0, Max(1))
    assert cache.core.peek("a", {"node": 6}) is None
    assert cache.core.peek("b", {}) is None
    sends, answers = cache.read(9, "a", floor=6)
    assert (len(sends), answers) == (1, [])


def test_absence_is_held_too(cache: Driven) -> None:
    cache.hold("a", None, seq=5)
    assert cache.read(8, "a", floor=5) == ([], [Answer(8, [None])])
    cache.tell(Update(1, 1, 6, "a", Entry(0, Max(3))))
    assert cache.read(9, "a", floor=6) == ([], [Answer(9, [Max(3)])])


def test_peek_gives_the_same_object_until_the_entry_changes(cache: Driven) -> None:
    cache.hold("a", Max(3), seq=5)
    first = cache.core.peek("a", {})
    cache.tell(Update(1, 1, 6, "a", Entry(0, Max(2))))
    assert cache.core.peek("a", {}) is first
    cache.tell(Update(1, 2, 7, "a", Entry(0, Max(4))))
    assert cache.core.peek("a", {}) is not first


def test_a_waiting_read_passes_over_known_absence_and_asks_again(cache: Driven) -> None:
    cache.hold("a", None, seq=5)
    sends, answers = cache.read(8, "a", wait=True)
    assert (sends, answers) == ([Get(2, ["a"], True, True)], [])
    cache.tell(Update(1, 1, 7, "a", Entry(9, None)))
    sends, answers = cache.tell(GetReply(2, [Entry(0, Max(1))], 6, 0, 1))
    assert (sends, answers) == ([Get(3, ["a"], True, True)], [])


def test_without_caching_nothing_is_watched_or_held() -> None:
    cache = Driven(caching=False)
    assert cache.read(7, "a") == ([Get(1, ["a"], False, False)], [])
    cache.tell(GetReply(1, [Entry(0, Max(1))], 5))
    assert cache.core.peek("a", {}) is None
    cache.write(8, "a", Max(2))
    assert cache.tell(PutReply(2, 0, 6)) == ([], [Answer(8, None)])
    assert cache.core.floor == {"node": 6}
    assert cache.core.handle(PeerLost("node"), 0.0) == []


def test_replies_that_nobody_waits_for_are_ignored(cache: Driven) -> None:
    cache.read(7, "a")
    for message in (PutReply(1, 0, 1), GetReply(5, [None], 1), Done(1), Failed(9, Failure("X", ""))):
        assert cache.tell(message) == ([], [])
    assert cache.core.outstanding == 1
    cache.tell(GetReply(1, [None], 1, 0, 1))
    assert cache.core.outstanding == 0
    assert cache.tell(GetReply(1, [Entry(0, Max(9))], 9, 0, 1)) == ([], [])
    assert cache.core.peek("a", {}) == Entry(0, None)
    assert cache.core.handle(Timer("other"), 0.0) == []


def test_an_answer_older_than_what_was_heard_of_is_given_but_not_held(cache: Driven) -> None:
    cache.read(7, "a")
    cache.tell(Update(1, 1, 8, "b", Entry(0, Max(1))))
    _, answers = cache.tell(GetReply(1, [Entry(0, Max(1))], 7, 0, 1))
    assert answers == [Answer(7, [Max(1)])]
    assert cache.core.peek("a", {}) is None


def test_a_refused_read_is_answered_with_the_failure(cache: Driven) -> None:
    cache.read(7, "a", wait=True)
    failure = Failure("NoResources", "too many")
    assert cache.tell(Failed(1, failure)) == ([], [Answer(7, failure)])


# ---------------------------------------------------------------- writes


def test_a_write_is_shown_once_its_update_has_come_and_asked_for_until_then(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    assert cache.write(8, "a", Max(3)) == ([Put(2, "a", Max(3))], [])
    assert cache.core.peek("a", {}) == Entry(0, Max(1))
    assert cache.tell(PutReply(2, 0, 6, 1, 1)) == ([], [Answer(8, None)])
    assert cache.core.floor == {"node": 6}
    assert cache.core.peek("a", cache.core.floor) is None
    entry = Entry(0, Max(3), {"node": 6})
    cache.tell(Update(1, 1, 6, "a", entry))
    assert cache.core.peek("a", cache.core.floor) == entry


def test_counters_put_totals_one_at_a_time(cache: Driven) -> None:
    assert cache.write(1, "n", Counter({"e1": (2, 0)}))[0] == [Put(1, "n", Counter({"e1": (2, 0)}))]
    assert cache.write(2, "n", Counter({"e1": (0, 1)})) == ([], [])
    assert cache.write(3, "m", Counter({"e1": (1, 0)}))[0] == [Put(2, "m", Counter({"e1": (1, 0)}))]
    sends, answers = cache.tell(PutReply(1, 0, 1))
    assert (sends, answers) == ([Put(3, "n", Counter({"e1": (2, 1)}))], [Answer(1, None)])
    assert cache.tell(PutReply(3, 0, 2)) == ([], [Answer(2, None)])
    assert cache.core._queues.keys() == {"m"}


def test_counters_in_maps_have_a_total_each(cache: Driven) -> None:
    first = delta({"a": 1, "b": 2}, "map[counter]", "e1", 1)
    cache.write(1, "m", first)
    cache.tell(PutReply(1, 0, 1))
    [put], _ = cache.write(2, "m", delta({"b": 5}, "map[counter]", "e1", 1))
    assert isinstance(put, Put)
    assert reveal(put.lattice) == {"b": 7}


def test_a_refused_increment_leaves_no_trace(cache: Driven) -> None:
    cache.write(1, "n", Counter({"e1": (2, 0)}))
    cache.write(2, "n", Counter({"e1": (5, 0)}))
    failure = Failure("LatticeMismatch", "no")
    sends, answers = cache.tell(Failed(1, failure))
    assert (sends, answers) == ([Put(2, "n", Counter({"e1": (5, 0)}))], [Answer(1, failure)])


def test_a_total_over_64_bits_is_refused(cache: Driven) -> None:
    cache.write(1, "n", Counter({"e1": (2**62, 0)}))
    cache.write(2, "n", Counter({"e1": (2**62, 0)}))
    cache.write(3, "n", Counter({"e1": (1, 0)}))
    sends, answers = cache.tell(PutReply(1, 0, 1))
    assert sends == [Put(2, "n", Counter({"e1": (2**62 + 1, 0)}))]
    assert answers[0] == Answer(1, None)
    refused = answers[1].result
    assert isinstance(refused, Failure)
    assert "64 bits" in refused.message
    cache.tell(PutReply(2, 0, 2))
    [], [answer] = cache.write(4, "n", Counter({"e1": (2**63 - 1, 0)}))
    assert isinstance(answer.result, Failure)


def test_a_key_deleted_meanwhile_is_written_again_into_its_new_generation(cache: Driven) -> None:
    cache.write(1, "n", Counter({"e1": (2, 0)}))
    cache.tell(PutReply(1, 0, 1))
    cache.write(2, "n", Counter({"e1": (1, 0)}))
    sends, answers = cache.tell(PutReply(2, 70, 2))
    assert (sends, answers) == ([Put(3, "n", Counter({"e1": (1, 0)}), 70, stamp=70)], [])
    assert cache.tell(PutReply(3, 70, 3)) == ([], [Answer(2, None)])
    assert cache.write(3, "n", Counter({"e1": (1, 0)}))[0] == [
        Put(4, "n", Counter({"e1": (2, 0)}), 70, stamp=70)
    ]
    cache.write(4, "k", Max(1))
    assert cache.tell(PutReply(5, 80, 4))[0] == [Put(6, "k", Max(1), 80, stamp=70)]
    assert cache.write(5, "k", Max(2))[0] == [Put(7, "k", Max(2), 80, stamp=80)]
    assert cache.clock.last == 80


def test_a_deletion_is_stamped_after_all_that_was_seen(cache: Driven) -> None:
    cache.hold("a", LWW(5000, "x", encode(1)), seq=5)
    sends, _ = cache.split(cache.core.delete(8, "a", 1.0))
    assert sends == [Delete(2, "a", 5001)]
    assert cache.tell(PutReply(2, 5001, 6, 1, 1)) == ([], [Answer(8, None)])
    assert cache.core.peek("a", cache.core.floor) is None
    cache.tell(Update(1, 2, 7, "a", Entry(5001, Max(1))))
    cache.tell(Update(1, 1, 6, "a", Entry(0, Max(99))))
    assert cache.core.peek("a", {}) == Entry(5001, Max(1))


def test_cancelled_operations_are_not_answered(cache: Driven) -> None:
    cache.read(1, "a")
    cache.read(2, "b", wait=True)
    cache.write(3, "n", Counter({"e1": (1, 0)}))
    cache.write(4, "n", Counter({"e1": (2, 0)}))
    cache.write(5, "n", Counter({"e1": (4, 0)}))
    assert [cache.core.cancel(op) for op in (1, 2, 3, 4, 99)] == [[], [Send("node", Forget(2))], [], [], []]
    assert cache.core.outstanding == 1
    sends, answers = cache.tell(PutReply(3, 0, 1, 0, 1))
    assert (sends, answers) == ([Put(4, "n", Counter({"e1": (5, 0)}))], [])
    assert cache.tell(PutReply(4, 0, 2, 0, 1))[1] == [Answer(5, None)]


def test_a_cancelled_increment_that_must_be_repeated_stays_unanswered(cache: Driven) -> None:
    cache.write(1, "n", Counter({"e1": (1, 0)}))
    cache.core.cancel(1)
    assert cache.tell(PutReply(1, 7, 1))[0] == [Put(2, "n", Counter({"e1": (1, 0)}), 7, stamp=7)]
    assert cache.tell(PutReply(2, 7, 2)) == ([], [])


def test_fail_answers_everything_and_counts_what_may_have_arrived(cache: Driven) -> None:
    cache.read(1, "a")
    cache.write(2, "n", Counter({"e1": (1, 0)}))
    cache.write(3, "n", Counter({"e1": (2, 0)}))
    gone = Failure("RuntimeUnavailable", "gone")
    assert cache.core.fail(gone) == [Answer(1, gone), Answer(2, gone), Answer(3, gone)]
    assert cache.core.outstanding == 0
    assert cache.write(4, "n", Counter({"e1": (4, 0)}))[0] == [Put(3, "n", Counter({"e1": (5, 0)}))]


# ---------------------------------------------------------------- updates, gaps and epochs


def test_updates_bring_the_cache_forward(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    cache.tell(Update(1, 1, 8, "a", Entry(0, Max(2))))
    assert cache.core.peek("a", {"node": 8}) == Entry(0, Max(2))
    cache.tell(Update(1, 3, 10, "a", Entry(0, Max(4))))
    assert cache.core.peek("a", {"node": 9}) is None
    cache.tell(Update(1, 2, 9, "a", Entry(0, Max(3))))
    assert cache.core.peek("a", {"node": 10}) == Entry(0, Max(4))


def test_a_gap_that_stays_begins_a_new_epoch(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    cache.now = 10.0
    cache.tell(Update(1, 2, 9, "a", Entry(0, Max(3))))
    assert cache.wake(109.0) == ([], [])
    assert cache.timers[-1] == 110.0
    assert cache.wake(110.0) == ([Resync(2)], [])
    assert cache.core.peek("a", {}) is None
    cache.tell(Update(1, 1, 8, "a", Entry(0, Max(2))))
    assert cache.core.peek("a", {}) is None


def test_a_gap_that_closes_changes_nothing(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    cache.tell(Update(1, 2, 9, "a", Entry(0, Max(3))))
    cache.tell(Update(1, 1, 8, "a", Entry(0, Max(2))))
    assert cache.wake(100.0) == ([], [])
    assert cache.core.peek("a", {"node": 9}) == Entry(0, Max(3))


def test_an_answer_that_tells_of_a_lost_update_begins_a_new_epoch(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    cache.write(8, "b", Max(1))
    cache.tell(PutReply(2, 0, 7, 1, 1))
    assert cache.core.peek("a", {"node": 7}) is None
    assert cache.wake(100.0)[0] == [Resync(2)]


def test_too_many_updates_after_a_gap_begin_a_new_epoch(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    told = [cache.tell(Update(1, 2 + n, 6 + n, "a", Entry(0, Max(n))))[0] for n in range(EARLY_MAX + 1)]
    assert told[-2:] == [[], [Resync(2)]]


def test_an_answer_of_another_epoch_is_not_held_and_repeats_the_announcement(cache: Driven) -> None:
    cache.read(7, "a")
    sends, answers = cache.tell(GetReply(1, [Entry(0, Max(1))], 5, 0, 0))
    assert (sends, answers) == ([Resync(1)], [Answer(7, [Max(1)])])
    assert cache.core.peek("a", {}) is None


def test_a_replica_that_forgot_the_cache_is_noticed(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    cache.read(8, "b")
    sends, answers = cache.tell(GetReply(2, [None], 6, 0, 0))
    assert (sends, answers) == ([Resync(2)], [Answer(8, [None])])
    assert cache.core.peek("a", {}) is None


def test_the_loss_of_the_node_drops_everything(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    assert cache.core.handle(PeerLost("e7"), 0.0) == []
    assert cache.core.peek("a", {}) is not None
    assert cache.core.handle(PeerLost("node"), 0.0) == []
    assert cache.core.peek("a", {}) is None
    assert cache.read(8, "a")[0] == [Resync(2), Get(2, ["a"], False, True)]


# ---------------------------------------------------------------- time


def test_unanswered_requests_are_sent_again_ever_more_slowly(cache: Driven) -> None:
    cache.write(1, "k", Max(1))
    cache.now = 40.0
    cache.write(2, "k", Max(2))
    assert cache.timers == [100.0]
    assert cache.wake(100.0)[0] == [Put(1, "k", Max(1))]
    assert cache.wake(140.0)[0] == [Put(2, "k", Max(2))]
    cache.tell(PutReply(2, 0, 1))
    times = [cache.timers[-1]]
    for _ in range(6):
        assert cache.wake(cache.timers[-1])[0] == [Put(1, "k", Max(1))]
        times.append(cache.timers[-1])
    assert [later - sooner for sooner, later in pairwise(times)] == [
        400.0,
        800.0,
        *[BACKOFF_MAX * 100.0] * 4,
    ]


def test_the_timer_rests_when_nothing_is_outstanding(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    before = list(cache.timers)
    assert cache.wake(100.0) == ([], [])
    assert cache.timers == before
    cache.read(1, "b")
    assert cache.timers[-1] == 200.0


# ---------------------------------------------------------------- room


def entry_bytes(key: str) -> int:
    return ENTRY_OVERHEAD_BYTES + len(key) + 8


def test_the_least_recently_used_goes_first() -> None:
    cache = Driven(bytes_max=2 * entry_bytes("a"))
    cache.hold("a", Max(1), seq=5)
    cache.hold("b", Max(1), seq=5)
    cache.core.peek("a", {})
    sends, _ = cache.read(8, "c")
    get = sends[-1]
    assert isinstance(get, Get)
    sends, _ = cache.tell(GetReply(get.req, [Entry(0, Max(1))], 5, 0, 1))
    assert sends == [Unwatch(["b"], get.req + 1)]
    assert [cache.core.peek(key, {}) is not None for key in "abc"] == [True, False, True]
    assert cache.core.nbytes == 2 * entry_bytes("a")


def test_what_is_too_large_is_answered_all_the_same() -> None:
    cache = Driven(bytes_max=10)
    cache.read(1, "a")
    sends, answers = cache.tell(GetReply(1, [Entry(0, Max(1))], 5, 0, 1))
    assert (sends, answers) == ([Unwatch(["a"], 2)], [Answer(1, [Max(1)])])


def test_a_key_evicted_while_it_is_read_is_not_held_again() -> None:
    cache = Driven(bytes_max=entry_bytes("a"))
    cache.hold("a", Max(1), seq=5)
    cache.read(1, "a", floor=6)
    cache.hold("b", Max(1), seq=5)
    _, answers = cache.tell(GetReply(2, [Entry(0, Max(2))], 6, 0, 1))
    assert answers == [Answer(1, [Max(2)])]
    assert cache.core.peek("a", {}) is None


def test_an_update_of_what_is_not_held_ends_the_watch(cache: Driven) -> None:
    cache.hold("a", Max(1), seq=5)
    assert cache.tell(Update(1, 1, 6, "x", Entry(0, Max(1))))[0] == [Unwatch(["x"], 2)]
    cache.read(1, "x")
    assert cache.tell(Update(1, 2, 7, "x", Entry(0, Max(2))))[0] == []


# ---------------------------------------------------------------- updates that tell only what was new


def set_update(number: int, name: bytes, base: int) -> Update:
    seq = number + 4
    entry = Entry(0, SetLattice({name: None}), {"node": seq})
    return Update(1, number, seq, "a", entry, base={"node": base} if base else {})


def test_an_update_goes_on_from_what_is_held(cache: Driven) -> None:
    cache.hold("a", None, seq=4)
    cache.tell(set_update(1, b"a", base=0))
    cache.tell(set_update(2, b"b", base=5))
    held = cache.core.peek("a", {"node": 6})
    assert held == Entry(0, SetLattice({b"a": None, b"b": None}), {"node": 6})


def test_an_update_that_goes_on_from_what_was_missed_ends_the_holding(cache: Driven) -> None:
    cache.hold("a", None, seq=4)
    cache.tell(set_update(1, b"a", base=0))
    sends, _ = cache.tell(set_update(3, b"c", base=6))
    assert [type(message) for message in sends] == [Unwatch]
    assert cache.core.peek("a", {}) is None
    cache.tell(set_update(2, b"b", base=5))
    assert cache.core.peek("a", {}) is None


def test_what_is_added_to_a_large_set_is_all_that_is_put(cache: Driven) -> None:
    cache.hold("a", SetLattice({b"%d" % number: None for number in range(1000)}), seq=5)
    [put], _ = cache.write(8, "a", SetLattice({b"new": None}))
    assert isinstance(put, Put)
    assert put.lattice == SetLattice({b"new": None})
