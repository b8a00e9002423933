"""What goes wrong: decided by seed and profile, before the workload is known.

Law: the fault plan has its own random numbers, so that the same seed under another profile runs the same
workload. *Profiles*: ``calm`` delays only; ``crash`` is the real network (in order, reliable, an end of
stream on death) with dying processes; ``lossy`` loses, duplicates and reorders; ``storm`` does it all;
``split`` parts the processes into two sides for a while, again and again.

Until ``heal_at`` messages are lost and processes die; from then on nothing goes wrong any more.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import NamedTuple

import msgspec

from cloudburst_runtime.config import Config
from cloudburst_runtime.ids import HybridClock, Micros, Millis, PeerName

PROFILES = ("calm", "crash", "lossy", "storm", "split")
SPLIT_SEEDS = (3, 7)
"""The last digits of the seeds that are split. Others go by the remainder of four, as they always have: seeds
that once found something still run under what they found it with."""

ON_WIRES = ("lost", "repeated", "overtaken", "parted")
OF_CLOCKS = ("off", "drifting", "set forward", "set back")
OF_PROCESSES = ("executor killed", "client killed", "stillborn")
OF_STORES = ("store killed", "store joined", "store left")
OF_RESTARTS = ("all killed", "unsynced lost")
OF_ESTATES = ("taken over", "died taking over", "begun with several")
OF_AMBUSHES = ("killed before others knew",)
"""What a `World` counts when it really happens: a plan does not say that anything was there to be hit."""

HEAL_AT_MS = 12_000.0
SIZES = 5
"""So many different numbers of stores, and of executors, there are where both go by the seed."""

LONG_WAY_MS = 30.0
"""What a message takes at least on one way in five."""


class Split(NamedTuple):
    """A partition: from ``start`` to ``end`` nothing passes between two sides, which ``luck`` chose."""

    start: Millis
    end: Millis
    luck: int

    def parts(self, one: PeerName, other: PeerName, now: Millis) -> bool:
        """Whether a message between two processes is stopped."""
        return self.start <= now < self.end and self._side(one) != self._side(other)

    def _side(self, name: PeerName) -> bool:
        return Random(f"{self.luck}/{name}").random() < 0.5


class Faults(NamedTuple):
    """The fault plan of one run.

    Attributes
    ----------
    loss, duplicate
        How likely a message is lost, or arrives twice.
    ordered
        Whether messages from one process to another arrive in the order in which they were sent.
    slow
        How likely a message takes up to ``slow_ms``.
    executor_crashes
        When an executor is killed (whichever the plan's numbers pick then).
    store_crashes
        The same for stores, where there are several and one may be lost.
    store_changes
        When a client asks for one more store, or one less, where there are several.
    ambushes
        From when on a store is lain in wait for: it is killed soon after the network has lost what it told
        another one, so that what it knew may be known to nobody.
    client_crash
        When the last client is killed; None: never.
    stillborn
        How likely a started executor ends before it is ready.
    outage
        From when to when nothing gets through on the long ways.
    splits
        Partitions. If messages are ``ordered``, as on a stream, what is stopped comes through once they are
        over; otherwise it is lost.
    skew_us, drift, clock_steps
        How far a process's wall clock is off at most, by which rate it runs wrong, and how often it is set,
        forwards or backwards, by no more than that.
    """

    profile: str
    loss: float = 0.0
    duplicate: float = 0.0
    ordered: bool = True
    slow: float = 0.02
    slow_ms: float = 60.0
    executor_crashes: tuple[Millis, ...] = ()
    store_crashes: tuple[Millis, ...] = ()
    store_changes: tuple[Millis, ...] = ()
    ambushes: tuple[Millis, ...] = ()
    client_crash: Millis | None = None
    stillborn: float = 0.0
    skew_us: int = 400_000
    drift: float = 0.002
    clock_steps: int = 3
    outage: tuple[Millis, Millis] = (0.0, 0.0)
    splits: tuple[Split, ...] = ()
    heal_at: Millis = HEAL_AT_MS


def plan(seed: int, profile: str | None = None) -> Faults:
    """The faults of a seed; the profile goes by the seed unless it is given."""
    random = Random(f"{seed}/faults")
    chosen = profile or ("split" if seed % 10 in SPLIT_SEEDS else PROFILES[seed % 4])
    loss = random.choice((0.02, 0.05, 0.12))
    duplicate = random.choice((0.02, 0.1))
    crashes = tuple(sorted(random.uniform(150.0, 9_000.0) for _ in range(random.randint(1, 5))))
    client_crash = random.uniform(500.0, 4_000.0) if random.random() < 0.4 else None
    faults = Faults(chosen, skew_us=random.choice((0, 400_000, 5_000_000)), store_changes=_changes(seed))
    if chosen in ("lossy", "storm"):
        faults = faults._replace(loss=loss, duplicate=duplicate, ordered=False, slow=0.05, slow_ms=250.0)
        start = random.uniform(500.0, 8_000.0)
        faults = faults._replace(outage=(start, start + random.uniform(0.0, 3_000.0)))
    if chosen in ("crash", "storm"):
        more = Random(f"{seed}/stores")
        store_crashes = tuple(sorted(more.uniform(150.0, 9_000.0) for _ in range(more.randint(1, 4))))
        faults = faults._replace(store_crashes=store_crashes)
        faults = faults._replace(
            executor_crashes=crashes, client_crash=client_crash, stillborn=random.choice((0.0, 0.1))
        )
    return _split(faults, Random(f"{seed}/splits")) if chosen == "split" else faults


def _changes(seed: int) -> tuple[Millis, ...]:
    random = Random(f"{seed}/members")
    return tuple(sorted(random.uniform(150.0, 9_000.0) for _ in range(random.randint(0, 4))))


def _split(faults: Faults, random: Random) -> Faults:
    splits: list[Split] = []
    for _ in range(random.randint(1, 4)):
        start = (splits[-1].end if splits else 0.0) + random.uniform(200.0, 2_500.0)
        end = start + random.uniform(50.0, 3_000.0)
        if end <= HEAL_AT_MS:
            splits.append(Split(start, end, random.getrandbits(32)))
    faults = faults._replace(splits=tuple(splits))
    return faults if random.random() < 0.5 else faults._replace(loss=0.01, ordered=False)


def config(seed: int, faults: Faults) -> Config:
    """The configuration of a seed: small limits, so that their edges are met.

    Where messages are repeated by the network, outcomes are kept for long: a repetition that comes after
    its outcome was dropped would run again, and only the connections' order protects from that.
    """
    random = Random(f"{seed}/config")
    return Config(
        executors_min=random.choice((1, 2, 2, 3)),
        executors_max=5,
        policy=random.choice(("locality", "locality", "random", "round-robin")),
        executor_idle_ms=4_000.0,
        avoid_busy_ms=1_000.0,
        revoke_wait_ms=20_000.0,
        resend_ms=random.choice((300.0, 1_000.0)),
        batch_max=3,
        outputs_kept_max=random.choice((8, 512)) if faults.ordered else 512,
        cache_bytes_max=random.choice((1_500, 1_000_000)),
    )


def with_stores(seed: int, config: Config) -> Config:
    """The configuration with several stores."""
    random = Random(f"{seed}/several stores")
    stores = random.randint(2, 5)
    return msgspec.structs.replace(
        config,
        stores_min=stores,
        stores_max=stores,
        replication=random.choice((1, 2, 2, 2, 3)),
        anti_entropy_ms=2_000.0,
        stats_ms=1_000.0,
    )


def copied(seed: int, config: Config) -> Config:
    """The configuration in which each key is kept by several stores."""
    random = Random(f"{seed}/copied")
    stores = random.randint(3, 5)
    return msgspec.structs.replace(
        config, stores_min=stores, stores_max=stores, replication=random.choice((2, 2, 3))
    )


def with_estates(seed: int, config: Config) -> Config:
    """The configuration with one to five stores, each with its file, and two to six executors."""
    random = Random(f"{seed}/estates")
    stores, executors = 1 + seed % SIZES, 2 + (seed * 2 + seed // SIZES) % SIZES
    return msgspec.structs.replace(
        with_stores(seed, config),
        stores_min=stores,
        stores_max=stores,
        executors_min=executors,
        executors_max=6,
        replication=random.choice((1, 1, 2, 3)),
    )


def with_hosts(seed: int, config: Config) -> Config:
    """The configuration in which whoever asks for what a store has that is away waits until it is back."""
    config = with_estates(seed, config)
    stores = 1 + seed % 2
    return msgspec.structs.replace(config, stores_min=stores, stores_max=stores, away_ms=1e9)


def dying(seed: int, faults: Faults) -> Faults:
    """The plan in which some of what is started ends before it is ready."""
    return faults._replace(stillborn=Random(f"{seed}/stillborn").choice((0.1, 0.3)))


def in_ambush(seed: int, faults: Faults) -> Faults:
    """The plan in which the network loses messages, and stores are lain in wait for."""
    random = Random(f"{seed}/ambushes")
    times = tuple(sorted(random.uniform(0.0, 9_000.0) for _ in range(random.randint(3, 6))))
    return faults._replace(loss=max(faults.loss, 0.05), ordered=False, ambushes=times)


def moving(seed: int, faults: Faults) -> Faults:
    """The plan in which no store dies, but they join and leave often."""
    random = Random(f"{seed}/moving")
    times = tuple(sorted(random.uniform(150.0, 9_000.0) for _ in range(random.randint(3, 8))))
    return faults._replace(store_crashes=(), store_changes=times)


def with_company(seed: int, config: Config) -> Config:
    """The configuration in which more travels together, and for longer."""
    random = Random(f"{seed}/company")
    return msgspec.structs.replace(
        config,
        together_after=random.choice((0, 1, 2, 8)),
        together_ms=random.choice((0.3, 5.0)),
        short_run_ms=random.choice((0.1, 1.0, 100.0)),
    )


class Network:
    """Says of each message when it arrives, and how often.

    Parameters
    ----------
    faults
        The plan.
    random
        The network's own random numbers.
    met
        Where it counts what it did to messages.
    """

    def __init__(self, faults: Faults, random: Random, met: Counter[str] | None = None) -> None:
        self._faults = faults
        self._met = Counter[str]() if met is None else met
        self._random = random
        self._latest: dict[tuple[PeerName, PeerName], Millis] = {}
        self._base: dict[tuple[PeerName, PeerName], Millis] = {}

    def arrivals(self, sender: PeerName, receiver: PeerName, now: Millis, sure: bool = False) -> list[Millis]:
        """The times at which a message sent now arrives. ``sure``: exactly once (a Hello)."""
        faults, random = self._faults, self._random
        count = 1
        if not sure and now < faults.heal_at:
            if random.random() < faults.loss or self._is_out(sender, receiver, now):
                self._met["lost"] += 1
                return []
            if random.random() < faults.duplicate:
                self._met["repeated"] += 1
                count += 1
        leaves = now if sure else self._leaves(sender, receiver, now)
        self._met["parted"] += leaves > now
        if leaves > now and not faults.ordered:
            return []
        return [self._note(sender, receiver, leaves + self._delay(sender, receiver)) for _ in range(count)]

    def _leaves(self, sender: PeerName, receiver: PeerName, now: Millis) -> Millis:
        """When a message gets under way: at once, or when the last of the splits that stop it is over."""
        for split in self._faults.splits:
            if split.parts(sender, receiver, now):
                now = split.end
        return now

    def _is_out(self, sender: PeerName, receiver: PeerName, now: Millis) -> bool:
        start, end = self._faults.outage
        return start <= now < end and self._base.get((sender, receiver), 0.0) >= LONG_WAY_MS

    def last(self, sender: PeerName, receiver: PeerName, now: Millis) -> Millis:
        """When the end of the stream arrives: after all that was sent on it."""
        return max(now + self._delay(sender, receiver), self._latest.get((sender, receiver), 0.0))

    def _delay(self, sender: PeerName, receiver: PeerName) -> Millis:
        random, faults = self._random, self._faults
        base = self._base.get((sender, receiver))
        if base is None:  # some ways are long: then an update comes later than a call that has seen it
            base = random.choice((0.03, 0.03, 0.03, 2.0, LONG_WAY_MS))
            self._base[sender, receiver] = base
        if random.random() < faults.slow:
            return random.uniform(base, faults.slow_ms)
        return base * random.uniform(1.0, 1.5) + random.uniform(0.0, 0.3)

    def _note(self, sender: PeerName, receiver: PeerName, due: Millis) -> Millis:
        before = self._latest.get((sender, receiver), 0.0)
        if self._faults.ordered and due <= before:
            due = before
        self._met["overtaken"] += due < before
        self._latest[sender, receiver] = max(before, due)
        return due


class SkewedClock(HybridClock):
    """A hybrid clock over a wall clock that is off, runs wrong, and is set now and then."""

    __slots__ = ("_met", "_rate", "_set_by", "_steps")

    def __init__(self, faults: Faults, random: Random, met: Counter[str] | None = None) -> None:
        off = random.randint(-faults.skew_us, faults.skew_us)
        super().__init__(1_000_000_000 + off)
        self._met = Counter[str]() if met is None else met
        self._met["off"] += off != 0
        self._set_by = 0.0
        self._rate = 1 + random.uniform(-faults.drift, faults.drift)
        self._met["drifting"] += self._rate != 1
        self._steps = [
            (random.uniform(1_000.0, 20_000.0), random.uniform(-faults.skew_us, faults.skew_us) / 1000)
            for _ in range(faults.clock_steps)
        ]

    def tick(self, now: Millis) -> Micros:
        """A stamp later than every one before."""
        set_by = sum(span for at, span in self._steps if at < now)
        if set_by != self._set_by:
            self._met["set forward" if set_by > self._set_by else "set back"] += 1
            self._set_by = set_by
        return super().tick(now * self._rate + set_by)
