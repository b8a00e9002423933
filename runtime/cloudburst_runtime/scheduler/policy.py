"""Where things run: pure functions from what is known of executors to names of executors.

Law: no state; randomness is handed in as a source of numbers in [0, 1), and all ties go to the first.

Three decisions at three speeds. `place` says on which executors a function is pinned (when the fleet or
the functions change), `prefer` which of those a call with references should see (once per lease), and
`assign` picks one for every node of one call (in the client, on every call, so its usual case is a few
dictionary look-ups). Under *locality* a chain stays where it is, because a hop costs more than it brings,
and parallel branches go apart, because then they run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cloudburst_runtime.errors import NoResources
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Lease
from cloudburst_runtime.scheduler.dag import Topology

Uniform = Callable[[], float]
"""A source of numbers, evenly spread over [0, 1)."""

ORDINARY_SEATS_MIN = 2
"""So many executors must be left to other functions before a batching function gets its own."""


class Seat(NamedTuple):
    """What a policy sees of an executor that is ready.

    ``regular``: it takes every function; else only the ``functions`` that were brought to it under load.
    ``avoided``: it reported that tasks wait, and gets no new ones while others can take them.
    """

    name: PeerName
    host: str = ""
    gpus: int = 0
    regular: bool = True
    avoided: bool = False
    functions: Mapping[str, None] = {}


# ---------------------------------------------------------------- one call


def prefer(
    candidates: Sequence[PeerName], held: Mapping[PeerName, int], uniform: Uniform, random_share: float
) -> list[PeerName]:
    """The candidates that hold most of a call's references, or now and then a random one.

    The random one makes hot data spread: it will hold the references afterwards.

    Examples
    --------
    >>> prefer(["e1", "e2", "e3"], {"e2": 2, "e3": 1}, uniform=lambda: 0.9, random_share=0.2)
    ['e2']
    """
    most = max((held.get(name, 0) for name in candidates), default=0)
    if not most:
        return list(candidates)
    if uniform() < random_share:
        return [_any(candidates, uniform)]
    return [name for name in candidates if held.get(name, 0) == most]


def pick(
    candidates: Sequence[PeerName],
    load: Mapping[PeerName, int],
    policy: str,
    held: Mapping[PeerName, int],
    uniform: Uniform,
    turn: int,
    random_share: float = 0.2,
) -> PeerName:
    """One executor for one task.

    Parameters
    ----------
    load
        How many unfinished tasks each executor has, as far as the caller knows.
    policy
        ``"locality"``, ``"random"`` or ``"round-robin"``.
    held
        How many of the task's references each executor has cached.
    turn
        A count that grows from call to call.

    Raises
    ------
    ValueError
        If there is no candidate, or no such policy.

    Examples
    --------
    >>> pick(["e1", "e2"], {"e1": 3}, "locality", {}, uniform=lambda: 0.5, turn=0)
    'e2'
    """
    if not candidates:
        raise ValueError("there is no executor to pick from")
    if policy == "locality":
        return _least(prefer(candidates, held, uniform, random_share) if held else candidates, load)
    if policy == "random":
        return _any(candidates, uniform)
    if policy == "round-robin":
        return candidates[turn % len(candidates)]
    raise ValueError(f"no policy {policy!r}: there are locality, random and round-robin")


def assign(
    lease: Lease, topology: Topology, load: Mapping[PeerName, int], uniform: Uniform, turn: int
) -> list[PeerName]:
    """The executor of every node, for one call.

    Parameters
    ----------
    lease
        What the scheduler granted; a node goes to one of its node's executors.
    topology
        Of the lease's plan.
    load, uniform, turn
        As for `pick`; ``turn`` should grow by one from call to call.

    Returns
    -------
    list of str
        Executor names in the order of the plan's nodes: a header's ``schedule``.

    Examples
    --------
    >>> from cloudburst_runtime.messages import DagNode, Plan
    >>> plan = Plan(1, "p", [DagNode("a"), DagNode("b")], [1, 1], [(0, 1)])
    >>> lease = Lease(plan, [["e1", "e2"], ["e1", "e2"]])
    >>> assign(lease, Topology.of(plan), {"e1": 1}, uniform=lambda: 0.5, turn=0)
    ['e2', 'e2']
    """
    placement = lease.placement
    if lease.policy == "locality":
        if len(placement) == 1:
            return [_least(placement[0], load)]
        return _assign_locally(placement, topology, load)
    return [
        pick(candidates, load, lease.policy, {}, uniform, turn + node)
        for node, candidates in enumerate(placement)
    ]


def _assign_locally(
    placement: list[list[PeerName]], topology: Topology, load: Mapping[PeerName, int]
) -> list[PeerName]:
    chosen: list[PeerName] = [""] * len(placement)
    beside: dict[int, dict[PeerName, int]] = {}
    for node in topology.order:
        here = beside.setdefault(topology.depth[node], {})
        preds = topology.preds[node]
        if len(preds) == 1 and len(topology.succs[preds[0]]) == 1 and chosen[preds[0]] in placement[node]:
            name = chosen[preds[0]]
        else:
            name = _least_beside(placement[node], load, here, [chosen[pred] for pred in preds])
        chosen[node] = name
        here[name] = here.get(name, 0) + 1
    return chosen


def _least_beside(
    candidates: Sequence[PeerName],
    load: Mapping[PeerName, int],
    here: Mapping[PeerName, int],
    near: Sequence[PeerName],
) -> PeerName:
    """The least loaded, counting the nodes of this call that may run at the same time.

    A tie goes to the executor of a predecessor, where one input need not travel.
    """
    best, best_cost = "", (-1, 0)
    for name in candidates:
        cost = (load.get(name, 0) + here.get(name, 0), name not in near)
        if best_cost[0] < 0 or cost < best_cost:
            best, best_cost = name, cost
    return best


def _least(candidates: Sequence[PeerName], load: Mapping[PeerName, int]) -> PeerName:
    best, lowest = candidates[0], -1
    for name in candidates:
        count = load.get(name, 0)
        if not count:
            return name
        if lowest < 0 or count < lowest:
            best, lowest = name, count
    return best


def _any(candidates: Sequence[PeerName], uniform: Uniform) -> PeerName:
    return candidates[min(int(uniform() * len(candidates)), len(candidates) - 1)]


# ---------------------------------------------------------------- placement


def place(
    function: str,
    seats: Sequence[Seat],
    *,
    gpu: bool = False,
    batching: bool = False,
    batchers: Sequence[str] = (),
) -> list[PeerName]:
    """The executors on which a function is pinned.

    Parameters
    ----------
    seats
        The executors that are ready, in the order of their age.
    gpu, batching
        What the function is.
    batchers
        The batching functions, in the order of their registration: one executor is given to each.

    Returns
    -------
    list of str
        In the order of ``seats``; empty only if there are none.

    Raises
    ------
    NoResources
        For a GPU function where no executor has a GPU.

    Examples
    --------
    >>> place("f", [Seat("e1"), Seat("e2", avoided=True), Seat("e3")])
    ['e1', 'e3']
    """
    able = [seat for seat in seats if seat.gpus] if gpu else list(seats)
    if gpu and seats and not able:
        raise NoResources(
            f"function {function!r} needs a GPU, and none of the {len(seats)} executors has one: "
            f"register it without gpu=True, or start the runtime where there is a GPU"
        )
    regular = [seat for seat in able if seat.regular] or able
    brought = [seat for seat in able if not seat.regular and function in seat.functions]
    if batching:
        mine = _own_seat(function, regular, batchers)
    else:
        mine = _unreserved(regular, batchers)
    pinned = _in_order(able, [*mine, *brought])
    return [seat.name for seat in pinned if not seat.avoided] or [seat.name for seat in pinned]


def _own_seat(function: str, regular: list[Seat], batchers: Sequence[str]) -> list[Seat]:
    """One executor, counted from the youngest: requests of one queue are what a batch is made of."""
    if not regular:
        return []
    rank = list(batchers).index(function) if function in batchers else 0
    return [regular[-1 - rank % len(regular)]]


def _unreserved(regular: list[Seat], batchers: Sequence[str]) -> list[Seat]:
    rest = len(regular) - len(batchers)
    return regular[:rest] if rest >= ORDINARY_SEATS_MIN else regular


def _in_order(seats: list[Seat], chosen: list[Seat]) -> list[Seat]:
    names = dict.fromkeys(seat.name for seat in chosen)
    return [seat for seat in seats if seat.name in names]


def colocate(
    placement: list[list[PeerName]], group: Sequence[int], hosts: Mapping[PeerName, str]
) -> list[list[PeerName]]:
    """Restrict the nodes of ``group`` to one host that can take them all, the roomiest; if there is one.

    Examples
    --------
    >>> colocate([["e1", "e2"], ["e2"]], [0, 1], {"e1": "here", "e2": "there"})
    [['e2'], ['e2']]
    """
    best, most = "", 0
    for host in dict.fromkeys(hosts[name] for node in group for name in placement[node]):
        rooms = [sum(hosts[name] == host for name in placement[node]) for node in group]
        if all(rooms) and sum(rooms) > most:
            best, most = host, sum(rooms)
    if not most:
        return placement
    members = dict.fromkeys(group)
    return [
        [name for name in names if hosts[name] == best] if node in members else names
        for node, names in enumerate(placement)
    ]


# ---------------------------------------------------------------- elasticity


def executors_wanted(queued: int, starting: int, current: int, maximum: int) -> int:
    """How many executors to fork for ``queued`` waiting tasks.

    Parameters
    ----------
    starting, current
        Executors on their way, each of which will take one task; executors that are there.
    maximum
        The most there may be of both together.

    Examples
    --------
    >>> executors_wanted(queued=9, starting=1, current=2, maximum=8)
    5
    """
    return max(0, min(queued - starting, maximum - current - starting))


def executors_spare(idle: Sequence[PeerName], current: int, minimum: int) -> list[PeerName]:
    """Which of the idle executors may go, so that ``minimum`` of the ``current`` ones stay.

    Examples
    --------
    >>> executors_spare(["e3", "e4"], current=3, minimum=2)
    ['e4']
    """
    count = max(0, min(len(idle), current - minimum))
    return list(idle[len(idle) - count :])
