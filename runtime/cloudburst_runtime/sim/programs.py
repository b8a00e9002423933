"""User functions of the simulated workload: generators that yield what they ask of the user library.

Law: a program knows its arguments and who it is, nothing else; the sandbox below runs it in virtual time
and feeds the executor core the same `Op` and `Ran` that the real sandbox does.

Each returns a term (see `history`). ``touch`` does to the store what its first argument says; ``pair``
returns a tuple, which becomes two arguments of what follows; ``pick`` drops what the loser of a race gives.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

from cloudburst_runtime.executor.tasks import Task
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.messages import Failure
from cloudburst_runtime.sim.history import Access, is_term, term
from cloudburst_runtime.values import decode

INVALID = "no good"
"""What ``pick`` returns for an input that it does not want."""

RECV_MS = 2_000.0
LOOK_AGAIN_MS = 40.0


class Get(NamedTuple):
    """Read a key, or all that lies there side by side."""

    key: str
    siblings: bool = False


class Put(NamedTuple):
    """Write a key."""

    key: str
    value: Any
    lattice: str | None = None


class Tell(NamedTuple):
    """Send a direct message."""

    to: str
    body: Any


class Listen(NamedTuple):
    """Wait for direct messages, so many milliseconds at most."""

    span: float


class Sleep(NamedTuple):
    """Compute for so many milliseconds."""

    span: float


class Who(NamedTuple):
    """What a running function knows of itself."""

    name: str
    version: int
    attempt: int
    address: str


Request: TypeAlias = Get | Put | Tell | Listen | Sleep
Steps: TypeAlias = Generator[Request, Any, Any]
Program: TypeAlias = Callable[..., Steps]


def plain(who: Who, *args: Any) -> Steps:
    """A pure function."""
    yield Sleep(0.3)
    return term(who.name, who.version, [], list(args))


def slow(who: Who, *args: Any) -> Steps:
    """A pure function that takes long enough for others to be moved away from behind it."""
    yield Sleep(260.0)
    return term(who.name, who.version, [], list(args))


def raises(who: Who, *args: Any) -> Steps:
    """A function with a defect."""
    yield Sleep(0.5)
    raise ValueError(f"{who.name} got {args!r}")


def pair(who: Who, *args: Any) -> Steps:
    """Two results at once."""
    yield Sleep(0.2)
    return (term(who.name, who.version, [], [*args, 1]), term(who.name, who.version, [], [*args, 2]))


def loses(who: Who, *args: Any) -> Steps:
    """A racer whose result ``pick`` does not want."""
    yield Sleep(0.1)
    return term(who.name, who.version, [], list(args))


def pick(who: Who, given: Any) -> Steps:
    """Of several inputs, take one that is wanted."""
    yield Sleep(0.2)
    if is_term(given) and given[1] == "loses":
        return INVALID
    return term(who.name, who.version, [], [given])


def batchy(who: Who, column: list[Any]) -> Steps:
    """A batching function: a list per argument, a list of results."""
    yield Sleep(2.0)
    return [term(who.name, who.version, [], [value]) for value in column]


def touch(who: Who, script: list[list[Any]], *args: Any) -> Steps:
    """Do to the store what ``script`` says: a list of (kind, key, value)."""
    accesses: list[Access] = []
    for kind, key, value in script:
        if kind == "put":
            written = f"{value}/{who.attempt}"
            yield Put(key, written)
            accesses.append(Access(kind, key, written))
        elif kind == "add":
            lattice = "map[counter]" if key.startswith("map") else "counter"
            yield Put(key, {"n": value} if lattice != "counter" else value, lattice)
            accesses.append(Access(kind, key, value))
        else:
            accesses.append(
                Access(kind, key, counted((yield Get(key))) if kind == "count" else (yield Get(key)))
            )
        yield Sleep(0.1)
    return term(who.name, who.version, accesses, [script, *args])


def visit(who: Who, script: list[list[Any]], *args: Any) -> Steps:
    """As ``touch``, but take some time over each step, and return nothing of what was found."""
    for kind, key, value in script:
        yield Sleep(1.0)
        yield Put(key, f"{value}/{who.attempt}") if kind == "put" else Get(key, kind == "siblings")
    return who.name


def ponger(who: Who, box: str) -> Steps:
    """Leave an address in the store, then wait for a message."""
    yield Put(box, who.address)
    arrived = yield Listen(RECV_MS)
    return term(who.name, who.version, [], [box, [list(message) for message in arrived]])


def pinger(who: Who, box: str, body: Any) -> Steps:
    """Find an address in the store, then send a message there."""
    waited = 0.0
    while (address := (yield Get(box))) is None and waited < RECV_MS:
        yield Sleep(LOOK_AGAIN_MS)
        waited += LOOK_AGAIN_MS
    if address is not None:
        yield Tell(address, body)
    return term(who.name, who.version, [], [box, body])


PROGRAMS: dict[str, Program] = {
    "plain": plain,
    "left": plain,
    "right": plain,
    "join": plain,
    "slow": slow,
    "raises": raises,
    "pair": pair,
    "wins": plain,
    "loses": loses,
    "pick": pick,
    "batchy": batchy,
    "touch": touch,
    "again": touch,
    "visit": visit,
    "ponger": ponger,
    "pinger": pinger,
}


def counted(value: Any) -> int:
    """The number behind a ``counter`` or a ``map[counter]``, 0 if there is none."""
    if value is None:
        return 0
    return int(value["n"] if isinstance(value, dict) else value)


def arguments(task: Task) -> list[Any]:
    """The positional arguments of a task, as the real sandbox makes them."""
    args: list[Any] = []
    if task.args is not None:
        given, _ = decode(task.args.value)
        args = list(given)
        for slot, lattice in (task.resolved or {}).items():
            args[int(slot)] = reveal(lattice)
        for inline in task.args.inline:
            args[int(inline.slot)] = decode(inline.value)
    for trigger in task.inputs:
        assert trigger.value is not None
        value = decode(trigger.value)
        args.extend(value if type(value) is tuple else [value])
    return args


def begin(tasks: list[Task], address: str) -> Steps:
    """Start the program of one task, or of a batch."""
    task = tasks[0]
    assert task.function is not None
    function = task.function
    who = Who(function.name, function.version, task.id.attempt, address)
    program = PROGRAMS[function.payload.decode()]
    if task.batching:
        columns = zip(*(arguments(each) for each in tasks), strict=True)
        return program(who, *(list(column) for column in columns))
    return program(who, *arguments(task))


def failure_of(error: Exception) -> Failure:
    """What an exception of a program is to the executor core."""
    return Failure("user", str(error))
