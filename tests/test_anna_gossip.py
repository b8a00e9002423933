"""The account of gossip, against a model: two stores and a channel that loses, repeats and reorders."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.gossip import (
    BATCH_BYTES_MAX,
    BATCH_KEYS_MAX,
    WINDOW,
    Batch,
    Incoming,
    Outgoing,
)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from("abc")),
        st.tuples(st.sampled_from(["send", "resend", "mark", "private"])),
        st.tuples(st.sampled_from(["deliver", "lose", "repeat"]), st.integers(0, 30)),
    ),
    max_size=80,
)


class Pair:
    """What A changed, what B was sent of it, and the two accounts."""

    def __init__(self) -> None:
        self.out, self.into = Outgoing(resend_ms=10.0), Incoming()
        self.seq, self.now = 0, 0.0
        self.last: dict[str, int] = {}  # at A: the change of each key
        self.had: dict[str, int] = {}  # at B
        self.sent: dict[int, dict[str, int]] = {}  # by batch: the changes in it when it was first sent
        self.acknowledged: dict[str, int] = {}
        self.wire: list[tuple[Batch, dict[str, int]] | tuple[int, int] | int] = []

    def send(self, batch: Batch) -> None:
        self.sent.setdefault(batch.number, {key: self.last[key] for key in batch.keys})
        self.wire.append((batch, {key: self.last[key] for key in batch.keys}))

    def flush(self) -> None:
        while (batch := self.out.next_batch(self.seq, self.now)) is not None:
            self.send(batch)

    def do(self, step: tuple[str, ...]) -> None:
        self.now += 1.0
        what, *arguments = step
        if what == "change":
            self.seq += 1
            self.last[arguments[0]] = self.seq
            self.out.change(arguments[0], 10, self.seq)
        elif what == "private":  # a change of a key that B does not own
            self.seq += 1
        elif what == "send":
            self.flush()
        elif what == "resend":
            self.now += 200.0
            for batch in self.out.overdue(self.now):
                self.send(batch)
        elif what == "mark":
            self.wire.append(self.out.mark(self.seq))
        elif self.wire:
            at = int(arguments[0]) % len(self.wire)
            parcel = self.wire[at] if what == "repeat" else self.wire.pop(at)
            if what != "lose":
                self.arrive(parcel)
        self.check()

    def arrive(self, parcel: tuple[Batch, dict[str, int]] | tuple[int, int] | int) -> None:
        if isinstance(parcel, int):
            for key in self.out.acknowledge(parcel, self.now):
                self.acknowledged[key] = max(self.acknowledged.get(key, 0), self.sent[parcel].get(key, 0))
        elif isinstance(parcel[0], Batch):
            batch, content = parcel
            assert isinstance(content, dict)
            if self.into.takes(batch.number):
                for key, change in content.items():
                    self.had[key] = max(change, self.had.get(key, 0))
                self.into.take(batch.number, batch.seq)
            self.wire.append(self.into.taken)
        else:
            number, seq = parcel
            assert isinstance(seq, int)
            self.into.promise(number, seq)

    def check(self) -> None:
        for key, change in self.last.items():
            had = self.had.get(key, 0)
            assert had == change or change > self.into.informed, "informed of what it does not have"
            since = self.out.since(key)
            assert had == change or (since is not None and since <= change), "forgotten"
            assert since is None or since > self.acknowledged.get(key, 0), "had already"

    def settle(self) -> None:
        self.flush()
        for _ in range(50):
            while self.wire:
                self.arrive(self.wire.pop(0))
                self.flush()
            if self.out.due is None:
                break
            self.now = self.out.due
            for batch in self.out.overdue(self.now):
                self.send(batch)
        self.into.promise(*self.out.mark(self.seq))


@given(STEPS)
def test_who_is_informed_has_it_and_nothing_is_forgotten(steps: list[tuple[str, ...]]) -> None:
    pair = Pair()
    for step in steps:
        pair.do(step)
    pair.settle()
    pair.check()
    assert pair.had == pair.last
    assert pair.into.informed == pair.seq
    assert pair.out.due is None
    assert all(pair.out.since(key) is None for key in pair.last)


def test_changes_gather_while_the_window_is_full() -> None:
    out = Outgoing(1000.0)
    for number in range(1, 20):
        out.change(f"k{number % 7}", 10, number)
        out.next_batch(number, 0.0)
    assert out.mark(19) == (WINDOW, WINDOW)
    out.acknowledge(1, 1.0)
    batch = out.next_batch(19, 1.0)
    assert batch is not None
    assert sorted(batch.keys) == [f"k{n}" for n in range(7)]
    assert batch.seq == 19


def test_a_batch_is_bounded_in_keys_and_in_bytes() -> None:
    out = Outgoing(1000.0)
    for number in range(BATCH_KEYS_MAX + 1):
        out.change(f"k{number}", 1, number + 1)
    first = out.next_batch(BATCH_KEYS_MAX + 1, 0.0)
    assert first is not None
    assert len(first.keys) == BATCH_KEYS_MAX
    assert out.mark(99_999)[1] == first.seq == 0  # the oldest change that waits may be the first
    out = Outgoing(1000.0)
    for key in ("large", "larger", "small"):
        out.change(key, BATCH_BYTES_MAX + 1, 1)
    batch = out.next_batch(3, 0.0)
    assert batch is not None
    assert list(batch.keys) == ["large"]


def test_the_interval_doubles_until_something_is_acknowledged() -> None:
    out = Outgoing(100.0)
    out.change("k", 1, 1)
    out.next_batch(1, 0.0)
    dues = []
    for _ in range(6):
        assert out.due is not None
        dues.append(out.due)
        out.overdue(out.due)
    assert dues == [100.0, 300.0, 700.0, 1500.0, 2500.0, 3500.0]
    out.acknowledge(1, 4000.0)
    assert out.due is None
