"""Which stores there are: the node's decisions, told as rings.

Law: one change of hands at a time. A store that has died is left out at once, for it will not come back;
stores join, leave and keep hot keys only when the last ring is settled: when each store has said that it
has all that is its own to keep. A name is never given twice. A store on another host that has a disk of its
own may come back, under another name; that is not waited for, except by who asks for what it alone has.

::

    settled ──join, leave, raise──► handing over ──every store: Settled──► settled
       └───────────a store died──────────►┘└──a store died──►┘
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from cloudburst_runtime.anna import policy
from cloudburst_runtime.anna.estates import Estates
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.messages import Estate, Members, Retire, Ring, Settled, StoreStats

SILENT_PERIODS = 2.5
"""A store that has not reported for so many periods has nothing to do."""

STORES = "stores"


class Membership:
    """The stores, as the node decides.

    Parameters
    ----------
    config
        For ``replication``, ``resend_ms``, and the policies' thresholds.
    chosen
        Replication factors that users have given to keys.
    estates
        What was found on disk about stores on other hosts, by their identities.

    Attributes
    ----------
    ring
        The latest.
    spawned
        Stores that were started and have not joined yet.
    leaving
        Stores that are to leave, once nothing is theirs to keep.
    dismissed
        Those that were told to go and have not ended yet, and when to tell them again.
    heirs
        Of stores that have died and have a file, who is started to take it over: until all is handed over.
    afar
        The stores that came from other hosts, and which host: no policy starts or dismisses them.
    abroad
        Those of them that have a disk of their own, and what they may have there.

    Examples
    --------
    >>> members = Membership(Config(replication=2))
    >>> members.spawn(), members.ring.epoch
    ('s2', 0)
    >>> [send] = members.join("s2", now=0.0)
    >>> send.peer, send.message.current.names, send.message.former[0].names
    ('s2', ['node', 's2'], ['node'])
    """

    def __init__(
        self,
        config: Config,
        chosen: Mapping[str, int] | None = None,
        estates: Mapping[str, Estate] | None = None,
    ) -> None:
        self._config = config
        self.ring = Ring(0, Members([NODE]), config.replication, live=[NODE])
        self._born = 1
        self.spawned: dict[PeerName, None] = {}
        self.leaving: dict[PeerName, None] = {}
        self.dismissed: dict[PeerName, Millis] = {}
        self.heirs: dict[PeerName, PeerName] = {}
        self.afar: dict[PeerName, str] = {}
        self.abroad = Estates(estates)
        for identity in self.abroad.nameless:
            self.abroad.wait_for(identity, self._name())
        self._fresh: dict[PeerName, None] = {}  # stores on other hosts that have never been here
        self._departing: dict[PeerName, None] = {}  # those that are to leave, and come first
        self._asked = 0  # how many more users have asked for than there were to be
        self._due: Millis | None = None  # when to tell the ring again to those who have not answered
        self._wanted: dict[PeerName, None] = {NODE: None}
        self.chosen: dict[str, int] = dict(chosen or {})
        self._hot: Mapping[str, int] = {}
        self._settled: dict[PeerName, None] = {}
        self._stats: dict[PeerName, tuple[StoreStats, Millis]] = {}
        self._joined: dict[PeerName, Millis] = {}
        self._easing: dict[str, Millis] = {}  # since when fewer stores would do, and fewer copies of hot keys
        self._cooling: dict[str, Millis] = {}

    # ------------------------------------------------------------ what is decided elsewhere

    def begin(self, now: Millis) -> list[Send]:
        """The runtime begins; a ring says what there is to wait for."""
        return self._tell_again(now)

    def spawn(self) -> PeerName:
        """The name of a store that is started now."""
        name = self._name()
        self.spawned[name] = None
        return name

    def _name(self) -> PeerName:
        self._born += 1
        return f"s{self._born}"

    def enlist(self, host: str, identity: str = "") -> PeerName:
        """The name of a store that is there already, on another host; with an identity if it has a disk."""
        if identity in self.abroad:
            name = self.abroad.name(identity)
            self.spawned[name] = None
        else:
            name = self.spawn()
            self._fresh[name] = None
        if identity:
            self.abroad.admit(name, identity, host)
        self.afar[name] = host
        return name

    def knows(self, name: PeerName) -> bool:
        """Whether this is a store of ours, the node's aside."""
        return name in self.spawned or (name in self.ring.live and name != NODE)

    @property
    def names(self) -> list[PeerName]:
        """The stores that there are to be."""
        return [*self._wanted, *self.spawned]

    @property
    def ours(self) -> list[PeerName]:
        """Those of them that the policies decide about, the node's own first."""
        return [name for name in self.names if name not in self.afar]

    @property
    def missing(self) -> int:
        """How many of these there are too few."""
        return max(0, self._config.stores_min + self._asked - len(self.ours))

    def ask(self, more: int) -> None:
        """A user wants so many more stores; where load and size decide, they go on doing so."""
        if self._config.stores_min == self._config.stores_max:
            self._asked += more

    def join(self, name: PeerName, now: Millis) -> list[Send]:
        """A store that was started is there."""
        if name not in self.spawned:
            return []
        del self.spawned[name]
        self._fresh.pop(name, None)
        self._wanted[name] = None
        self._joined[name] = now
        if self.ring.former and name in self.heirs.values():  # nothing is settled before it has been asked
            live = [*self.ring.live, name]
            return self._publish(self._next(self.ring.current, self.ring.former, live), live, now)
        return self._advance(now)

    def leave(self, name: PeerName, now: Millis) -> list[Send]:
        """A store is to hand over what it has, and go."""
        if name == NODE or name not in self._wanted:
            return []
        if name not in self.ring.live and self.abroad.owes(name):  # it comes first
            self._departing[name] = None
            return []
        del self._wanted[name]
        self.leaving[name] = None
        return self._advance(now)

    def lose(self, name: PeerName, now: Millis) -> list[Send]:
        """A store has died."""
        if name in self._fresh and self.abroad.is_known(name):  # it never was one of ours
            self.abroad.forget(name)
        for each in (self.spawned, self._fresh, self._wanted, self.leaving, self.dismissed, self._departing):
            each.pop(name, None)
        self._stats.pop(name, None)
        self._joined.pop(name, None)
        self.afar.pop(name, None)
        if self.abroad.is_known(name):
            self.abroad.lose(name, self._name(), self.ring)
            if name not in self.ring.live:
                return self._tell_again(now)
        elif name not in self.ring.live and name not in self.heirs.values():
            return []
        elif self._config.state_dir:  # else nobody has left anything
            self._bequeath(name)
        live = [other for other in self.ring.live if other != name]
        names = [other for other in self.ring.current.names if other != name]
        return self._announce(Members(names, self.ring.current.factors), live, now)

    def give_up(self, name: PeerName, now: Millis) -> list[Send]:
        """A store that is away is waited for no longer."""
        self.abroad.forget(name)
        return self._tell_again(now)

    def _tell_again(self, now: Millis) -> list[Send]:
        """The members are the same, and something else that a ring says is not."""
        ring = self.ring
        return self._publish(self._next(ring.current, ring.former, ring.live), ring.live, now)

    def _bequeath(self, name: PeerName) -> None:
        """What this store has left on disk, and what it was to take over, is for one that is started now."""
        heir = self.spawn()
        self.heirs = {dead: heir if other == name else other for dead, other in self.heirs.items()}
        self.heirs[name] = heir

    def estates(self, heir: PeerName) -> tuple[PeerName, ...]:
        """Whose files this store is to take over."""
        return tuple(dead for dead, other in self.heirs.items() if other == heir)

    def raise_keys(self, raised: Mapping[str, int], now: Millis) -> list[Send]:
        """These keys are to be kept by more stores than others."""
        self._hot = raised
        return self._advance(now)

    def choose(self, key: str, copies: int, now: Millis) -> list[Send]:
        """A user wants the key kept by so many stores, or, with 0, by as many as any other."""
        if copies:
            self.chosen[key] = copies
        else:
            self.chosen.pop(key, None)
        return self._advance(now)

    # ------------------------------------------------------------ the ring

    def settle(self, name: PeerName, message: Settled, now: Millis) -> list[Send]:
        """A store has heard of the ring, and has all that is its own to keep."""
        if message.epoch != self.ring.epoch:
            return []
        self._settled[name] = None
        if any(store not in self._settled for store in self.ring.live):
            return []
        self._due = None
        if not self.ring.former:
            return []
        joined = [other for other in self.ring.live if other in self._wanted]
        live = list(dict.fromkeys([*self.ring.current.names, *joined]))
        self.heirs = {dead: heir for dead, heir in self.heirs.items() if heir in self.spawned}
        self.abroad.settle(self.ring)
        sends = self._publish(self._next(self.ring.current, [], live), self.ring.live, now)
        sends += self._advance(now)
        for departing in [departing for departing in self._departing if departing in self.ring.live]:
            del self._departing[departing]
            sends += self.leave(departing, now)
        return sends

    def _advance(self, now: Millis) -> list[Send]:
        """Begin the next change of hands, if the last one is done and there is one."""
        if self.ring.former:
            return []
        names = list(self._wanted)
        factors = self._factors() if len(names) > 1 else {}
        if names == self.ring.current.names and factors == self.ring.current.factors:
            return []
        live = list(dict.fromkeys([*self.ring.live, *names]))
        return self._announce(Members(names, factors), live, now)

    def _factors(self) -> dict[str, int]:
        """The keys that have a factor of their own: what users chose, or more of a key that is hot."""
        usual = self._config.replication
        factors = dict(self.chosen)
        for key, factor in self._hot.items():
            factors[key] = max(factor, factors.get(key, usual))
        return {key: factor for key, factor in factors.items() if factor != usual}

    def _announce(self, current: Members, live: list[PeerName], now: Millis) -> list[Send]:
        former = [*self.ring.former, self.ring.current]
        return self._publish(self._next(current, former, live), live, now)

    def _next(self, current: Members, former: list[Members], live: list[PeerName]) -> Ring:
        epoch, replication = self.ring.epoch + 1, self.ring.replication
        coming, heirs = [*self.spawned, *self.abroad.away], dict(self.heirs)
        afar, estates = [name for name in live if name in self.afar], self.abroad.told()
        return Ring(epoch, current, replication, former, live, self._born, coming, afar, heirs, estates)

    def _publish(self, ring: Ring, to: Iterable[PeerName], now: Millis) -> list[Send]:
        self.ring = ring
        self._settled = {}
        self._due = now + self._config.resend_ms
        return [Send(name, ring) for name in to if name != NODE]

    def gone(self, now: Millis) -> list[PeerName]:
        """The stores that may go now: nothing is theirs to keep. Each is named once."""
        free = [name for name in self.leaving if name not in self.ring.live]
        for name in free:
            del self.leaving[name]
            if self.abroad.is_known(name):
                self.abroad.forget(name)
            self.dismissed[name] = now + self._config.resend_ms
        return free

    @property
    def due(self) -> Millis | None:
        """When to tell something again."""
        dues = [*self.dismissed.values(), *([] if self._due is None else [self._due])]
        return min(dues, default=None)

    def remind(self, now: Millis) -> list[Send]:
        """Tell the ring again to those who have not answered, and who was to go to go."""
        again: list[Send] = []
        for name, due in self.dismissed.items():
            if due <= now:
                self.dismissed[name] = now + self._config.resend_ms
                again.append(Send(name, Retire()))
        if self._due is None or now < self._due:
            return again
        self._due = now + self._config.resend_ms
        late = [name for name in self.ring.live if name not in self._settled]
        return again + [Send(name, self.ring) for name in late if name != NODE]

    # ------------------------------------------------------------ policies

    def note(self, stats: StoreStats, now: Millis) -> None:
        """A store reports what it has, and how busy it is."""
        if stats.name in self.ring.live:
            self._stats[stats.name] = (stats, now)

    def stats(self, now: Millis) -> list[StoreStats]:
        """What the stores reported last; one that has been silent is idle, even if it has never reported."""
        silent = now - SILENT_PERIODS * self._config.stats_ms
        known = [stats if at >= silent else _idle(stats) for stats, at in self._stats.values()]
        never = [name for name, at in self._joined.items() if at < silent and name not in self._stats]
        return known + [StoreStats(name, 0, 0, 0, self._config.stats_ms) for name in never]

    def wanted(self, now: Millis) -> int:
        """How many stores the load asks for; as many as there are while one has not reported yet."""
        known = self.stats(now)
        if len(known) < len(self.names) or self.ring.former:
            return len(self.names)
        afar = sum(name in self.afar for name in self.names)
        wanted = {STORES: policy.stores_wanted(known, self._config, self._asked + afar)}
        numbers, self._easing = policy.eased(
            {STORES: len(self.names)}, wanted, self._easing, now, self._config
        )
        return numbers[STORES]

    def hot(self, now: Millis) -> dict[str, int]:
        """Which keys the load wants kept by more stores."""
        wanted = policy.factors(self.stats(now), self._hot, self._config)
        numbers, self._cooling = policy.eased(self._hot, wanted, self._cooling, now, self._config)
        return dict(itertools.islice(numbers.items(), policy.RAISED_MAX))

    @property
    def eases(self) -> bool:
        """Whether something is to be taken back, should the load stay as it is."""
        return bool(self._easing or self._cooling)


def _idle(stats: StoreStats) -> StoreStats:
    return StoreStats(stats.name, stats.keys, stats.nbytes, 0, stats.span_ms)
