"""Every message that crosses a socket, as a tagged msgspec struct.

Law: this module is the protocol; nothing else is sent. Structs are arrays on the wire, tagged with a
small integer, and decoded by one decoder. Add fields at the end, with a default.

::

    client ──Register, DefineDag, Place, List…──► node (scheduler) ──Registered, Placed, Revoke…──► client
    client, executor ──Put, Get, Delete, Keys──► node (Anna) ──PutReply, GetReply, Update…──► them
    client ──Call, Calls──► executor ──Trigger, Triggers──► executor ──Result, Results──► client
    node ──Pin, Shed, Retire──► executor ──Fetch, Load, Idle, Doing──► node ──ExecutorLost──► all

Each call carries its `Header` from step to step. Each request has a number ``req``, chosen by the sender
and repeated when it is sent again, so that the receiver can answer a repetition without acting twice.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from .ids import CallId, Micros, PeerName, TaskId
from .lattices import LWW, AnyLattice
from .lattices.causal import Context as Writes
from .values import Value
from .vectors import Vector

TAKEN = "Taken"
"""The kind of the failure with which the store refuses a put that is to be made ``once``."""


class Wire(msgspec.Struct, array_like=True, gc=False):
    """The base of everything below."""


# ---------------------------------------------------------------- what messages are made of


class Failure(Wire):
    """Why something failed: an error of this project's tree, or an exception of user code.

    Attributes
    ----------
    kind
        The error class's name; ``"user"`` for an exception that user code raised.
    message
        One paragraph.
    traceback
        The remote traceback, with source lines; empty for errors of the runtime.
    exception
        The pickled exception (``kind == "user"``).
    """

    kind: str
    message: str
    traceback: str = ""
    exception: Value | None = None


class Ref(Wire):
    """An argument that is the value of a key: a position in the arguments, or a keyword."""

    slot: int | str
    key: str


class Inline(Wire):
    """An argument that was encoded elsewhere, such as another call's result: a slot and its value."""

    slot: int | str
    value: Value


class Args(Wire):
    """Arguments of one node: one `Value` of ``(args, kwargs)``, with a hole (None) for each reference."""

    value: Value
    refs: list[Ref] = []
    inline: list[Inline] = []


class Seen(Wire):
    """One thing that user code asked of its library, and what it was told.

    Attributes
    ----------
    kind
        ``get``, ``put``, ``delete``, ``send``, ``recv``, ``now`` or ``getid``.
    keys
        Of the store; for ``send`` whom it is for.
    lattices
        What was read, None where there was nothing; of a put, what was merged in.
    versions
        Of what was read, where they are known: for each key a vector.
    mail
        What was received: the senders and the bodies; or the one body that was sent.
    at, text
        The time that ``now`` said; the id that ``getid`` said.
    failure
        Why it was refused.
    """

    kind: str
    keys: list[str] = []
    lattices: list[AnyLattice | None] = []
    versions: list[Vector] = []
    mail: list[tuple[str, Value]] = []
    at: float = 0.0
    text: str = ""
    failure: Failure | None = None


class Witness(Wire):
    """What determined the outcome of one task, and the outcome: for a call that is recorded.

    Attributes
    ----------
    function, version
        What ran.
    inputs
        The nodes whose results it got, in the order of its arguments.
    refs
        The values of the references among its arguments, in their order.
    seen
        What it asked of its library, in order.
    value, failure
        Its outcome; the sink's value is the result's, and left out here.
    place, size
        Its place in the batch that it ran in, and how large that was.
    built
        The instance of its class, as ``__init__`` left it, if it was built for this task.
    """

    function: str
    version: int
    inputs: list[int] = []
    refs: list[AnyLattice | None] = []
    seen: list[Seen] = []
    value: Value | None = None
    failure: Failure | None = None
    place: int = 0
    size: int = 1
    built: Value | None = None


class Arrival(Wire):
    """A predecessor's result as it reached a task: whose, its size in bytes, and when (host clock, ms)."""

    source: int
    nbytes: int
    at: float


class Intake(Wire):
    """What a task got, and what that took: of tasks that others feed, that read the store, or are watched.

    Attributes
    ----------
    decode_ms
        How long its arguments took to decode, just before user code began.
    arrivals
        Its inputs, in the order of the arguments.
    hits, misses
        How many keys it read, as references or in user code, that the executor's cache had, and that had
        to be fetched.
    """

    decode_ms: float = 0.0
    arrivals: list[Arrival] = []
    hits: int = 0
    misses: int = 0


class Step(Wire):
    """What one task did: it rides along the triggers and arrives with the result.

    Times are on the host's monotonic clock, in milliseconds: the task's inputs were complete; user code
    began; it ended. ``version`` is the function's. There is an intake if there is something to say of it, a
    witness if the call is recorded, and there are ``stamps`` if the runtime is traced (`shell.tracing`).
    """

    node: int
    executor: PeerName
    ready: float
    started: float
    ended: float
    stdout: str = ""
    stderr: str = ""
    witness: Witness | None = None
    intake: Intake | None = None
    stamps: list[float] | None = None
    version: int = 0


class Fix(Wire):
    """Which version of a key a call reads throughout, and the executor that keeps it.

    At ``atomic``, ``order`` says when that was written.
    """

    version: Vector
    holder: PeerName
    order: tuple[Micros, PeerName] | None = None


class Due(Wire):
    """What a key is to be read at least at, after another write of this transaction was read."""

    order: tuple[Micros, PeerName]
    transaction: str


class Session(Wire):
    """What a call at another level than ``lww`` knows of the store; it travels from step to step.

    Attributes
    ----------
    level
        One of `levels.LEVELS`.
    home
        The executor at which steps that may run beside others agree on versions, if there are such: one that
        most of them run on.
    seen
        Of each key that is or may become a causal value: its generation, and the writes that the session
        has read or made. A write replaces these.
    fixed, wrote
        At ``dsrr``, what is read of each key after the call's own writes; and by key those: by node, how
        many.
    writes, due
        At ``atomic``, what is to be published, and what the reads so far make due.
    waits
        The most that one of ``writes`` waits for, as its place in `WAITS`.
    start, beside
        At ``dsrr``, if steps may run beside others on several executors: the changes that the client knew of
        when the attempt began, and those executors.
    """

    level: str
    home: PeerName = ""
    seen: dict[str, tuple[Micros, Writes]] = {}
    fixed: dict[str, Fix] = {}
    wrote: dict[str, dict[int, int]] = {}
    writes: dict[str, LWW] = {}
    due: dict[str, Due] = {}
    waits: int = 0
    start: Vector = {}
    beside: list[PeerName] = []


WAITS = (False, None, True)
"""What writes wait for, the least first: not for the disk; as the runtime says; for the disk."""


class Header(Wire):
    """What travels with every step of a call.

    Attributes
    ----------
    client, number, attempt
        The call, and which try of it this is (0 is the first).
    plan
        The `Plan` it runs: immutable, by number.
    schedule
        Executor of each node of the plan.
    fixed
        Nodes with fixed arguments that are not sources: they wait for a `Call` besides their triggers.
    clock, floor
        The caller's session: the latest stamp it has seen, and the changes of the stores that its
        reads must include. A result carries them back, so a caller reads what its calls wrote.
    output_key
        Store the sink's result under this key before it is returned.
    record
        Whether each step reports what determined its outcome.
    watched
        The client wants to hear of each task that is done: `Produced`.
    session
        What the call knows of the store; None at ``lww``.
    """

    client: PeerName
    number: int
    attempt: int
    plan: int
    schedule: list[PeerName]
    fixed: list[int] = []
    clock: Micros = 0
    floor: Vector = {}
    output_key: str | None = None
    record: bool = False
    watched: bool = False
    session: Session | None = None

    @property
    def call(self) -> CallId:
        return CallId(self.client, self.number)

    def task(self, node: int) -> TaskId:
        return tuple.__new__(TaskId, (self.client, self.number, self.attempt, node))  # as `task_id`

    def numbered(self, number: int) -> Header:
        """The same header for another call. (In place of `msgspec.structs.replace`: there are many.)"""
        return Header(
            self.client,
            number,
            self.attempt,
            self.plan,
            self.schedule,
            self.fixed,
            self.clock,
            self.floor,
            self.output_key,
            self.record,
            self.watched,
            self.session,
        )


class Context(Wire):
    """Where a function was registered: executors put themselves there before they run it."""

    cwd: str = ""
    sys_path: list[str] = []
    environ: dict[str, str] = {}


class FunctionSpec(Wire):
    """A registered function.

    Attributes
    ----------
    payload
        The cloudpickled callable, or for a class the pickled ``(class, args, kwargs)``.
    kind
        ``"function"`` or ``"class"``.
    library, library_init
        Whether a request, and whether a class's ``__init__``, gets the user library as first argument.
    retries, timeout
        How often a call is run again when its executor was lost; seconds, or None.
    cells
        The texts of the notebook's cells that the code comes from, by file name, for tracebacks.
    made
        A digest of all that it is made of, equal for what does the same; empty if that is not known.
    """

    name: str
    version: int
    payload: bytes
    source: str = ""
    kind: str = "function"
    library: bool = False
    retries: int = 1
    timeout: float | None = None
    batching: bool = False
    gpu: bool = False
    context: Context = msgspec.field(default_factory=Context)
    signature: str = ""
    library_init: bool = False
    cells: dict[str, str] = {}
    made: str = ""


class DagNode(Wire):
    """One node of a DAG: the function of that name.

    ``invalid``: None for an ordinary node, which runs once, when all its predecessors are done. A list
    makes it a MULTIEXEC node: it runs once per trigger, and a result in the list (of encoded values) is
    dropped and the next trigger awaited.
    """

    function: str
    invalid: list[Value] | None = None
    gpu: bool = False
    batching: bool = False


class DagSpec(Wire):
    """A DAG as defined: nodes, edges by index in the order of definition, groups to be colocated."""

    name: str
    nodes: list[DagNode]
    edges: list[tuple[int, int]] = []
    colocated: list[str] = []


class Plan(Wire):
    """A DAG with its function versions fixed: what a call runs. Immutable, named by its number."""

    number: int
    target: str
    nodes: list[DagNode]
    versions: list[int]
    edges: list[tuple[int, int]]
    retries: int = 1
    timeout: float | None = None


class Lease(Wire):
    """A placement that a client may use until it is revoked: for each node the executors it may run on.

    ``serial`` grows from lease to lease: a `Revoke` says up to which serial its plans' leases are void, so
    that a lease which arrives after its own revocation is known to be void.
    """

    plan: Plan
    placement: list[list[PeerName]]
    policy: str = "locality"
    serial: int = 0


# ---------------------------------------------------------------- connections


class Papers(Wire):
    """Who a store on another host is, as its ``state_dir`` says.

    Attributes
    ----------
    identity
        Its own, given once.
    runtime
        The identity of the runtime that it is of; empty: it has been of none.
    start
        During which start of that runtime it joined last.
    """

    identity: str
    runtime: str = ""
    start: str = ""


class Hello(Wire, tag=1):
    """The first message on every connection. ``papers``: of a store on another host that has a disk."""

    name: PeerName
    role: str
    pid: int = 0
    gpus: int = 0
    host: str = ""
    papers: Papers | None = None


# ---------------------------------------------------------------- client → scheduler, and answers


class Register(Wire, tag=10):
    """Register a function; an equal name makes a new version."""

    req: int
    function: FunctionSpec


class Registered(Wire, tag=11):
    req: int
    version: int


class DefineDag(Wire, tag=12):
    req: int
    dag: DagSpec
    replace: bool = True


class DeleteDag(Wire, tag=13):
    req: int
    name: str


class Done(Wire, tag=14):
    """A request was carried out, and there is nothing to say."""

    req: int


class Failed(Wire, tag=15):
    """A request was not carried out."""

    req: int
    failure: Failure


class Place(Wire, tag=16):
    """Ask for a lease on a function or DAG, with a continuation, for calls with these references."""

    req: int
    target: str
    kind: str = "function"
    continuation: str | None = None
    refs: list[str] = []


class Placed(Wire, tag=17):
    req: int
    lease: Lease


class Revoke(Wire, tag=18):
    """These plans' leases with a serial up to ``through`` are void; ask again before the next call.

    The client acknowledges; if there are executors ``leaving``, only once none of its unfinished calls
    has one of them in its schedule.
    """

    req: int
    plans: list[int]
    through: int = 0
    leaving: list[PeerName] = []


class Revoked(Wire, tag=19):
    req: int


class Describe(Wire, tag=20):
    """Ask for a function or its kept versions (with the source, without the payload), for one version with
    its payload, for how often it ran, for a DAG, or for the names of all."""

    req: int
    what: str
    name: str = ""
    version: int = 0


class Runs(Wire):
    """How often a function ran, of that failed, and how often it took how long, by class of `runs.klass`."""

    name: str
    count: int = 0
    failed: int = 0
    classes: dict[int, int] = {}


class Description(Wire, tag=21):
    req: int
    names: list[str] = []
    function: FunctionSpec | None = None
    dag: DagSpec | None = None
    versions: list[FunctionSpec] = []
    runs: Runs | None = None


class Status(Wire, tag=22):
    req: int


class ExecutorStatus(Wire):
    name: PeerName
    pid: int
    host: str
    gpus: int
    queued: int
    running: str
    pinned: list[str]


class StatusReply(Wire, tag=23):
    """``afar``: the stores on other hosts, and which."""

    req: int
    name: str
    executors: list[ExecutorStatus]
    functions: dict[str, int]
    dags: list[str]
    keys: int
    store_bytes: int
    clients: list[PeerName]
    policy: str = "locality"
    state_dir: str = ""
    damage: list[str] = []
    afar: dict[PeerName, str] = {}


class Shutdown(Wire, tag=24):
    """Stop the runtime: all its processes end."""

    req: int


# ---------------------------------------------------------------- Anna


class Entry(Wire):
    """What the store has under a key.

    ``generation`` is the stamp of the key's last deletion, 0 if there was none: a lexicographic pair of
    (generation, lattice), which is a lattice again. ``lattice`` is None for a deleted key.

    ``version`` names the changes that it includes: for each store that applied a put or deletion of this
    key, that store's number of the last one. Two entries of a key with equal versions are equal.

    ``deps`` names the changes that its writers had seen, of whatever keys: who has read the entry must find
    these, too.
    """

    generation: Micros
    lattice: AnyLattice | None
    version: Vector = {}
    deps: Vector = {}


class Put(Wire, tag=40):
    """Merge ``lattice`` into the key. ``generation`` is the last deletion that the writer knows of.

    ``sync``: acknowledge when it is on disk, if there is one. ``stamp``: when it was written, by the writer.
    ``deps``: the changes that the writer has seen, if whoever reads this must find them. ``once``: refuse it,
    as `TAKEN`, if there is such a key or was one. ``seen``: the changes that the writer may have known of.
    """

    req: int
    key: str
    lattice: AnyLattice
    generation: Micros = 0
    sync: bool = True
    stamp: Micros = 0
    deps: Vector = {}
    once: bool = False
    seen: Vector = {}


class PutReply(Wire, tag=41):
    """Merged, if ``generation`` is the one of the put; else the key was deleted since: put again.

    The answer to a `Delete` too: ``generation`` is the one that the deletion began. ``seq`` is the
    replica's count of changes, ``pushed`` how many `Update` it has sent to this peer in its ``epoch``
    (0: before the peer's first `Resync`).
    """

    req: int
    generation: Micros
    seq: int
    pushed: int = 0
    epoch: int = 0


class Get(Wire, tag=42):
    """Read keys. ``wait``: answer when all exist. ``watch``: keep me informed of their changes.

    ``plain``: answer with the values themselves, not with where they lie in shared memory. ``floor``: the
    answer must include these changes; with one store it does.
    """

    req: int
    keys: list[str]
    wait: bool = False
    watch: bool = False
    plain: bool = False
    floor: Vector = {}


class GetReply(Wire, tag=43):
    """An entry per key asked for, in order; None where there never was one.

    ``known``: what this store includes of the others' changes, in the keys that it keeps.
    """

    req: int
    entries: list[Entry | None]
    seq: int
    pushed: int = 0
    epoch: int = 0
    known: Vector = {}


class Delete(Wire, tag=44):
    """Delete a key: ``stamp`` becomes its generation."""

    req: int
    key: str
    stamp: Micros


class Keys(Wire, tag=45):
    req: int
    prefix: str = ""


class KeysReply(Wire, tag=46):
    """Keys in order, with the lattice's name, its size in bytes, who caches it, how many versions are kept,
    and in how many stores it is."""

    req: int
    keys: list[str]
    lattices: list[str]
    sizes: list[int]
    readers: list[list[PeerName]]
    versions: list[int]
    replicas: list[int]


class Update(Wire, tag=47):
    """A watched key changed. ``number`` counts the updates to this cache since ``epoch`` began.

    ``base``: what the cache must have of the key to merge the entry, which is only what was new; empty: it is
    the whole.
    """

    epoch: int
    number: int
    seq: int
    key: str
    entry: Entry
    known: Vector = {}
    base: Vector = {}


class Unwatch(Wire, tag=48):
    """The cache no longer holds these keys. A `Get` numbered above ``req`` stands (0: none does)."""

    keys: list[str]
    req: int = 0


class Resync(Wire, tag=49):
    """The cache begins, or missed an update and dropped all it held: forget its watches, count from 0."""

    epoch: int


class Forget(Wire, tag=50):
    """Nobody waits for the answer to this `Get` any more."""

    req: int


# ---------------------------------------------------------------- store ↔ store, store ↔ node


class Members(Wire):
    """Stores that keep the keys; how many of them, for keys that have a replication factor of their own."""

    names: list[PeerName]
    factors: dict[str, int] = {}


class Estate(Wire):
    """What a store on another host may have on its disk that no store of the runtime's own host has.

    Attributes
    ----------
    host
        Where it is.
    sole
        The parts of the store, arcs and keys, that nobody else may have.
    shared
        Those that one more of the stores on other hosts surely has.
    """

    host: str = ""
    sole: list[int | str] = []
    shared: list[int | str] = []


class Ring(Wire, tag=120):
    """Who keeps which key. Numbered by the node; a later ``epoch`` replaces an earlier one.

    Attributes
    ----------
    current
        Who keeps the keys from now on.
    replication
        How many of them keep each.
    former
        Who kept them since the stores last agreed that all was handed over; empty: they do.
    live
        The stores that run: the current ones, and those that will leave when all is handed over.
    born, coming
        How many stores were ever started, and which of them have not joined yet. A store ``s4`` that does not
        run is gone if four were started and it is not to come; else it has joined since.
    afar
        The stores that reach no shared memory of the others, being on other hosts: they are sent bytes.
    heirs
        Of stores that have died, who reads what they have left on disk. Where no owner of before runs, an
        heir is asked, though it may have to be waited for.
    estates
        Of stores on other hosts with a disk that are away, or have just come back: what they may have alone.
    """

    epoch: int
    current: Members
    replication: int
    former: list[Members] = []
    live: list[PeerName] = []
    born: int = 1
    coming: list[PeerName] = []
    afar: list[PeerName] = []
    heirs: dict[PeerName, PeerName] = {}
    estates: dict[PeerName, Estate] = {}


class Elsewhere(Wire, tag=121):
    """Store → cache: these keys are not mine; ``ring`` says whose they are."""

    req: int
    ring: Ring


class Told(Wire):
    """How far a store's gossip to another is: of the keys that both keep by the sender's ``epoch`` of the
    ring, all that it changed up to ``seq`` is in its messages up to ``number``."""

    epoch: int
    number: int
    seq: int


class Met(Wire):
    """A write that met a value which its writer had not seen: when, by whom, its size, and itself if small.

    Attributes
    ----------
    how
        ``over``: it came upon the version before, and this one is what came of both. ``late``: it came upon
        this version, but was made earlier, and is lost. ``stores``: as ``over``, but each was taken by a
        store that had not heard of the other.
    """

    how: str
    stamp: Micros
    writer: PeerName
    nbytes: int
    lattice: AnyLattice | None = None


class Earlier(Wire):
    """A version of a key before its current one, as it goes from store to store."""

    generation: Micros
    lattice: AnyLattice
    stamp: Micros
    writer: PeerName
    version: Vector = {}
    met: list[Met] = []


class Gossip(Wire, tag=122):
    """Store → store: what I changed. ``told.number`` counts these messages.

    ``bases``: of the keys whose entries are only what was new, my change that they go on from; ``full``: the
    version of the whole of these. ``origins``: when and by whom entries were last written that do not say so
    themselves, for the history, here and in the other messages between stores.
    """

    told: Told
    keys: list[str]
    entries: list[Entry]
    bases: dict[str, int] = {}
    origins: dict[str, tuple[Micros, PeerName]] = {}
    full: dict[str, Vector] = {}


class Heard(Wire, tag=123):
    """Store → store: all `Gossip` up to ``number`` was merged; ``told`` is of the other direction.

    ``keys`` are in a newer generation here than the one in which they came. ``plain``: an entry's shared
    memory was lost, or it goes on from what is not here; send it again whole, with the values themselves.
    """

    number: int
    told: Told
    keys: list[str] = []
    entries: list[Entry] = []
    plain: bool = False
    origins: dict[str, tuple[Micros, PeerName]] = {}


class Pull(Wire, tag=124):
    """Store → store: what do you have under these keys? ``plain`` as in `Get`."""

    req: int
    keys: list[str]
    plain: bool = False


class Pulled(Wire, tag=125):
    """The answer, an entry per key."""

    req: int
    entries: list[Entry | None]
    told: Told
    origins: dict[str, tuple[Micros, PeerName]] = {}


class Compare(Wire, tag=126):
    """Store → store: in which of these parts do you have something else?

    A part is an arc of the circle, or a key that more stores keep than others. ``epoch`` is of my ring:
    answer once yours is as new, for then you tell me all that changes from there on.
    """

    epoch: int
    parts: list[int | str]
    digests: list[bytes]


class Compared(Wire, tag=127):
    """The answer: the parts in which we have the same, and those that differ."""

    epoch: int
    same: list[int | str]
    differing: list[int | str]


class Want(Wire, tag=133):
    """Store → store: send me what I lack in this part. I have these keys, generations and versions.

    ``plain``: send the values themselves, for I cannot reach where they lie. ``earlier``: of the keys of
    which I have earlier versions, up to where I keep none, and the origins of those that I have.
    """

    epoch: int
    part: int | str
    have: list[tuple[str, Micros, Vector]]
    plain: bool = False
    earlier: dict[str, tuple[tuple[Micros, PeerName], list[tuple[Micros, PeerName]]]] = {}


class Wanted(Wire, tag=134):
    """What was lacking, or the first of it. ``more``: ask again, with what you have then.

    ``earlier``: versions before the current ones, of these and other keys.
    """

    epoch: int
    part: int | str
    keys: list[str]
    entries: list[Entry]
    more: bool = False
    origins: dict[str, tuple[Micros, PeerName]] = {}
    earlier: dict[str, list[Earlier]] = {}


class Settled(Wire, tag=128):
    """Store → node: since this epoch of the ring, I have all that is mine to keep."""

    epoch: int


class StoreStats(Wire, tag=129):
    """Store → node: what it has, and what was asked of it in the last ``span_ms``.

    ``hot``: the keys that most was asked of, with how many reads and writes. ``req``: of the `Inquire` that
    this answers, if it does; then ``first`` is how many of the keys have no other owner before this store.
    ``host``: where it is, if on another host than the node; the node adds that, and whether it is ``away``.
    """

    name: PeerName
    keys: int
    nbytes: int
    operations: int
    span_ms: float
    hot: dict[str, int] = {}
    req: int = 0
    host: str = ""
    first: int = 0
    away: bool = False


class Inquire(Wire, tag=135):
    """Node → store: say now what you have."""

    req: int


class Enlisted(Wire, tag=150):
    """Node → a store on another host that said `Hello` under no name of a store: its name, or why there is
    none for it.

    Attributes
    ----------
    runtime, start
        What its `Papers` are to say, if it has a disk.
    estate
        What it is to keep of what it has there: all else, others have, and later than it.
    """

    name: PeerName
    refusal: str = ""
    runtime: str = ""
    start: str = ""
    estate: Estate | None = None


class Depart(Wire, tag=151):
    """Store → node: I am to end; let me hand over what I have. The answer is `Retire`, once that is done."""


class AddStore(Wire, tag=136):
    """Client → node: let there be one more store; answered when it has its share."""

    req: int


class StoreAdded(Wire, tag=137):
    req: int
    name: PeerName


class RemoveStore(Wire, tag=138):
    """Client → node: let this store hand over what it has, and go; answered when it has gone."""

    req: int
    name: PeerName


class Replicate(Wire, tag=142):
    """Client → node: let so many stores keep this key, 0: as many as any other; answered when they do."""

    req: int
    key: str
    copies: int


class Stores(Wire, tag=139):
    """Client → node: which stores are there, and what do they have?"""

    req: int


class StoresReply(Wire, tag=140):
    """``settled``: nothing is being handed over. ``factors``: of the keys that have one of their own."""

    req: int
    stores: list[StoreStats]
    replication: int
    epoch: int
    settled: bool
    factors: dict[str, int] = {}


class History(Wire, tag=110):
    """Ask for the versions of a key that are kept."""

    req: int
    key: str


class Version(Wire):
    """A version of a key: its number, when and by whom it was written, its type and its size.

    ``clock`` names the changes that it includes, as of an `Entry`, ``met`` the writes that met in it.
    """

    number: int
    stamp: Micros
    writer: PeerName
    lattice: str
    nbytes: int
    clock: Vector
    met: list[Met] = []


class HistoryReply(Wire, tag=111):
    """The versions of a key, the latest first, and their generation; none if there is no such key."""

    req: int
    versions: list[Version]
    generation: Micros = 0


class GetVersion(Wire, tag=112):
    """Ask for one version of a key, by its number; the value itself, not where it lies in shared memory.

    ``writer``: of those that several have written in one microsecond, that of this one; empty: the latest.
    """

    req: int
    key: str
    number: int
    writer: PeerName = ""


class VersionReply(Wire, tag=113):
    """That version; None if it is not kept. ``generation``: that of the key."""

    req: int
    entry: Entry | None
    generation: Micros = 0


# ---------------------------------------------------------------- calls


class Call(Wire, tag=60):
    """Client → executor: the fixed arguments of one node, and for a source the word to start."""

    header: Header
    node: int
    args: Args


class Calls(Wire, tag=77):
    """Client → executor: several `Call` whose headers differ in the number alone; this is the first one."""

    header: Header
    numbers: list[int]
    nodes: list[int]
    args: list[Args]


class Trigger(Wire, tag=61):
    """Executor → executor: ``source`` is done; its value feeds ``target``.

    ``failure`` instead of a value only goes to MULTIEXEC nodes, which can do without one input.
    ``again``: it was sent before.
    """

    header: Header
    source: int
    target: int
    value: Value | None
    steps: list[Step]
    failure: Failure | None = None
    again: bool = False


class Input(Wire):
    """What a node gave that feeds another."""

    source: int
    value: Value | None
    steps: list[Step]


class Triggers(Wire, tag=79):
    """Executor → executor: several `Trigger` of one task, with one header."""

    header: Header
    target: int
    inputs: list[Input]


class Result(Wire, tag=62):
    """Executor → client: the call's outcome, a value or a failure.

    ``published``: the attempt whose writes and value these are, if it is another one.
    """

    number: int
    attempt: int
    value: Value | None
    steps: list[Step]
    failure: Failure | None = None
    clock: Micros = 0
    floor: Vector = {}
    session: Session | None = None
    published: int | None = None


class Results(Wire, tag=78):
    """Executor → client: several `Result`, in the order in which they came to be."""

    results: list[Result]


class Cancel(Wire, tag=63):
    """Client → executors of a schedule: drop this attempt, interrupt it if it runs."""

    client: PeerName
    number: int
    attempt: int


class Moved(Wire, tag=64):
    """Executor → client: a waiting task went to another executor, by its handover number ``hops``."""

    number: int
    attempt: int
    node: int
    executor: PeerName
    hops: int = 1


class Gone(Wire, tag=65):
    """Executor → client: this task was finished here, and its outcome is no longer kept."""

    number: int
    attempt: int
    node: int


class Running(Wire, tag=66):
    """Executor → client: a long task's state, and what it said of its progress or printed.

    ``waits``: it does not run, but waits for something that does not exist yet.
    """

    number: int
    attempt: int
    node: int
    executor: PeerName
    fraction: float = 0.0
    text: str = ""
    stdout: str = ""
    stderr: str = ""
    waits: bool = False


class Handover(Wire, tag=67):
    """Executor → executor: a ready task with all its inputs, to be run there instead.

    ``hops`` counts the handovers of this task, so that one that comes back is told from a repetition.
    ``used`` are the inputs that a MULTIEXEC node has tried.
    """

    header: Header
    node: int
    args: Args | None
    inputs: list[Trigger]
    steps: list[Step]
    hops: int = 1
    used: list[int] = []


class Probe(Wire, tag=69):
    """Client → executor: how is this task? Finished: its outcome is sent again, or `Gone` if it is no
    longer kept. Not heard of: `Unknown`. Alive: no answer. ``hops`` counts the handovers that the client
    knows of: a later one than the executor knows has not arrived."""

    header: Header
    node: int
    hops: int = 0


class Unknown(Wire, tag=70):
    """Executor → client: this task never arrived here."""

    number: int
    attempt: int
    node: int


class Produced(Wire, tag=71):
    """Executor → client that watches its call: a task that feeds others is done, and what it gave."""

    number: int
    attempt: int
    node: int
    executor: PeerName
    step: Step
    value: Value | None
    failure: Failure | None = None


class Mail(Wire, tag=68):
    """A direct message between functions, to the task whose id is ``to``."""

    to: str
    sender: str
    body: Value
    clock: Micros = 0


class Recall(Wire, tag=72):
    """Executor → executor: send me what this call reads of a key, after its own writes ``wrote``.

    ``fix``: if it is not fixed yet, do so now, with all changes up to ``floor``; with ``wait``, once the key
    exists. ``session``: at ``atomic``, what the asker has read so far. ``start`` and ``beside`` are
    those of the call's `Session`. ``plain``: with the values in the answer, as in `Get`.
    """

    req: int
    sender: PeerName
    client: PeerName
    number: int
    attempt: int
    key: str
    wrote: dict[int, int] = {}
    fix: bool = False
    floor: Vector = {}
    wait: bool = False
    session: Session | None = None
    start: Vector = {}
    beside: list[PeerName] = []
    plain: bool = False


class Recalled(Wire, tag=73):
    """The entry that was asked for; None: it is no longer kept, or does not go with what was read.

    ``due``: what keys are to be read at least at by who wants to read it.
    """

    req: int
    entry: Entry | None
    due: dict[str, Due] = {}


class Claim(Wire, tag=152):
    """A call's home → executor: have you read this key for the attempt, as it was when that began?

    From now on, ask me. ``plain`` as in `Recall`.
    """

    req: int
    sender: PeerName
    client: PeerName
    number: int
    attempt: int
    key: str
    plain: bool = False


class Claimed(Wire, tag=153):
    """What was read there, and is kept; None: nothing."""

    req: int
    entry: Entry | None


class Release(Wire, tag=74):
    """The executor of calls' last steps → others: these attempts are over, keep nothing for them.

    An attempt is its client, its call's number, and which try it is.
    """

    attempts: list[tuple[PeerName, int, int]]


class Kept(Wire, tag=75):
    """Executor → client: I keep something for this attempt. If it is not under way, cancel it here.

    It is asked again until it is answered; a client that never answers is gone.
    """

    number: int
    attempt: int
    executor: PeerName


class UnderWay(Wire, tag=141):
    """Client → executor: yes, this attempt is under way."""

    client: PeerName
    number: int
    attempt: int


class Astray(Wire, tag=76):
    """Executor → client: this attempt cannot see what its level promises; begin another one.

    ``free``: it has published nothing. ``lost``: what it would have to see ended with an executor. ``due``:
    what keys are to be read at least at by the next one, so that it does not come upon the same.
    """

    number: int
    attempt: int
    executor: PeerName
    why: str
    free: bool = False
    lost: bool = False
    due: dict[str, Due] = {}


# ---------------------------------------------------------------- scheduler ↔ executor


class Pin(Wire, tag=80):
    """Keep these functions and plans at hand; also the answer to `Fetch`.

    ``missing``: what was fetched and is no longer kept, as ``name@version`` or ``#plan``.
    """

    functions: list[FunctionSpec] = []
    plans: list[Plan] = []
    missing: list[str] = []


class Unpin(Wire, tag=81):
    """Functions of these names and versions may be forgotten once no call uses them."""

    functions: list[tuple[str, int]]


class Fetch(Wire, tag=82):
    """Executor → scheduler: send me these."""

    functions: list[tuple[str, int]] = []
    plans: list[int] = []


class Load(Wire, tag=83):
    """Executor → scheduler: so many tasks wait behind the one that runs; ``functions`` are theirs.

    ``worth`` is how many more executors they would keep busy; ``computing`` says that this executor uses
    the processor rather than waits for something, so that more of its kind only help up to the cores.
    """

    queued: int
    running: str = ""
    functions: list[str] = []
    worth: int = 0
    computing: bool = False


class Idle(Wire, tag=84):
    """Executor → scheduler: nothing to do for as long as the configuration says."""


class Doing(Wire, tag=88):
    """Executor → scheduler: it is in a long call of this function, or (empty) in none any more; for show."""

    running: str = ""


class Ran(Wire, tag=89):
    """Executor → scheduler: which functions have run since the last time; for show."""

    runs: list[Runs] = []


class Shed(Wire, tag=85):
    """Scheduler → executor: hand waiting tasks over to these executors, one each, in turn."""

    to: list[PeerName]


class Retire(Wire, tag=86):
    """Scheduler → executor: leave, once nothing is left to do."""


class ExecutorLost(Wire, tag=87):
    """Scheduler → all: this executor is gone. ``retired``: it left with nothing to do. ``heir``: the executor
    that looks after what it may have left in the store."""

    name: PeerName
    reason: str = ""
    retired: bool = False
    heir: PeerName = ""


# ---------------------------------------------------------------- node ↔ supervisor


class Spawn(Wire, tag=100):
    """Node → supervisor: fork an executor or store of this name; a store takes over what ``estates`` left."""

    name: PeerName
    estates: list[PeerName] = []


class Reported(Wire, tag=143):
    """Store → node: what it has found damaged on disk, a line for people each."""

    lines: list[str]


class Kill(Wire, tag=101):
    """Node → supervisor: end this executor at once."""

    name: PeerName
    reason: str = ""


class Exited(Wire, tag=102):
    """Supervisor → node: this executor's process ended, and why."""

    name: PeerName
    reason: str


class Stop(Wire, tag=103):
    """Node → supervisor: end everything."""


Message: TypeAlias = (
    Hello
    | Register
    | Registered
    | DefineDag
    | DeleteDag
    | Done
    | Failed
    | Place
    | Placed
    | Revoke
    | Revoked
    | Describe
    | Description
    | Status
    | StatusReply
    | Shutdown
    | Put
    | PutReply
    | Get
    | GetReply
    | Delete
    | Keys
    | KeysReply
    | Update
    | Unwatch
    | Resync
    | Forget
    | History
    | HistoryReply
    | GetVersion
    | VersionReply
    | Ring
    | Elsewhere
    | Gossip
    | Heard
    | Pull
    | Pulled
    | Compare
    | Compared
    | Want
    | Wanted
    | Settled
    | StoreStats
    | Inquire
    | Enlisted
    | Depart
    | AddStore
    | StoreAdded
    | RemoveStore
    | Replicate
    | Stores
    | StoresReply
    | Call
    | Calls
    | Trigger
    | Triggers
    | Result
    | Results
    | Cancel
    | Moved
    | Probe
    | Unknown
    | Gone
    | Running
    | Handover
    | Produced
    | Mail
    | Recall
    | Recalled
    | Claim
    | Claimed
    | Release
    | Kept
    | UnderWay
    | Astray
    | Pin
    | Unpin
    | Fetch
    | Load
    | Idle
    | Doing
    | Ran
    | Shed
    | Retire
    | ExecutorLost
    | Spawn
    | Kill
    | Reported
    | Exited
    | Stop
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Message)

pack = _encoder.encode
"""Bytes of a message."""

unpack = _decoder.decode
"""The message of some bytes; `msgspec.ValidationError` if they are none."""
