"""Starting a runtime, connecting to one, and leaving it: how a process comes by a `Client`.

Law: this module decides which runtime the process uses. `asking` says what `up` may be asked for; what a
client does once it is there is `client`'s business, the process-wide state that of `runtimes`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

from cloudburst_nb import asking, overrides, runtimes
from cloudburst_nb.addresses import find
from cloudburst_nb.client import Client
from cloudburst_nb.interrupting import shorten
from cloudburst_runtime import inplace, messages
from cloudburst_runtime.config import POLICIES, STORES_MAX, Config, waits_for_disk
from cloudburst_runtime.launch import local
from cloudburst_runtime.shell.client import SCHEME, ClientShell
from cloudburst_runtime.shell.ticket import split_address

DAMAGE_SHOWN_MAX = 10
NOTHING_ASKED = (
    None,
    "local",
    (),
    1,
    "locality",
    None,
    None,
    None,
    None,
    False,
    None,
    None,
    8,
    None,
    None,
    1,
    None,
)
"""What `up` is called with by default: whoever says nothing takes the runtime that is up."""


def up(
    executors: int | tuple[int, int] | None = None,
    *,
    listen: str | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    name: str = "local",
    preload: Iterable[str] = (),
    threads: int = 1,
    policy: str = "locality",
    gpus: int | None = None,
    memory_limit: int | None = None,
    seed: int | None = None,
    durability: str | None = None,
    history: int = 8,
    store_memory: int | None = None,
    disk_limit: int | None = None,
    trace: bool = False,
    stores: int | tuple[int, int] = 1,
    replication: int | None = None,
    detach: bool = False,
) -> Client:
    """Start a runtime on this machine and use it. Optional: the first use starts one with the defaults.

    Parameters
    ----------
    executors
        How many processes run functions: a number to start with (more are forked when calls wait, up to
        32), or ``(min, max)``, as ``(2, 2)`` for two and never more; by default from the number of cores up
        to 32.
    listen
        Let clients on other hosts in, and stores (``cloudburst-nb store``), as ``"tcp://HOST:PORT"`` (port 0
        picks one, host ``*`` is every interface): encrypted, and only with the file at ``client.key_file``.
        Whoever has that file can run code as you.
    state_dir
        A directory for state that outlives the runtime: keys, functions and DAGs are there when a runtime is
        started with it again, whatever ended the last one. It is made if need be; one runtime at a time
        has it.
    name
        What `status` shows.
    preload
        Modules imported once, before executors are forked.
    threads
        BLAS and OpenMP threads per executor.
    policy
        ``"locality"``, ``"random"`` or ``"round-robin"``.
    gpus
        GPUs of this machine; found out if not given.
    memory_limit
        Bytes of private memory per executor, 128 MiB or more; beyond it, user code gets a ``MemoryError``.
    seed
        Give each call its own random numbers, for ``random`` and ``numpy.random``, that follow from this
        whole number and from which call it is: the same in each run, with however many executors.
    durability
        With a ``state_dir``, when a put is acknowledged: ``"disk"`` (the default), when it is on disk, or
        ``"memory"``, when the store has it, which writes it a tenth of a second later. If there was no room
        for one then, all puts wait for the disk until there is, so that whoever writes hears of it.
    history
        How many versions of a key are kept, the current one included; see `Client.history`.
    store_memory
        Bytes of values that the store keeps in memory; the others are on disk alone until they are asked for.
        By default half of the machine's memory.
    disk_limit
        How many bytes a store may take on disk; beyond, a put raises `StorageFull`. What it is handed by
        another store, when there are fewer, or when a runtime begins with what several have left, it keeps
        all the same.
    trace
        Take the time of each stage that a call goes through: `summary` of its future shows them. It
        costs each call some microseconds.
    stores
        How many processes keep keys, or ``(min, max)``: then load and size decide. They share the keys
        among them, hand them over when one comes or goes, and make up for one that dies. With a ``state_dir``
        each has a file of its own in it; as many as you like may find there what others have left.
    replication
        How many of them keep each key: with two, which is what more than one store begin with, nothing that
        was acknowledged is lost when one dies. No more than there may be stores, unless
        others can join from other hosts (``listen``).
    detach
        Leave it running when this process ends; ``connect(client.address)`` from another one.

    Raises
    ------
    RuntimeUnavailable
        If it does not start; the message has the end of its log. Also if the ``state_dir`` is in use by a
        runtime that lives, with its pid.
    ValueError
        If a runtime with other settings is up: take it ``down()`` first.

    Examples
    --------
    >>> client = cb.up(executors=(2, 8), preload=["json"])
    >>> cb.running()
    True
    """
    executors = overrides.executors() or executors
    state_dir = overrides.state_dir() or state_dir
    seed = asking.whole_number(seed) if overrides.seed() is None else overrides.seed()
    state = "" if state_dir is None else asking.directory(state_dir)
    if durability is not None:
        waits_for_disk(durability, state)
    for option, given in (
        ("history", history),
        ("store_memory", store_memory),
        ("disk_limit", disk_limit),
        ("memory_limit", memory_limit),
        ("threads", threads),
        ("gpus", gpus),
    ):
        asking.check_number(option, given)
    low, high = asking.executor_range(executors)
    stores_min, stores_max = asking.store_range(stores)
    copies = asking.copies(replication, STORES_MAX if listen else stores_max, stores_max)
    asking.check_text("name", name, "what status shows")
    if listen is not None:
        asking.check_text("listen", listen, "an address")
        split_address(listen)
    if policy not in POLICIES:
        raise ValueError(f"there is no policy {policy!r:.80}: there are {', '.join(POLICIES)}")
    modules = asking.module_names(preload)
    kept = (state_dir, durability, history, store_memory, disk_limit, stores, replication)
    asked = (executors, name, modules, threads, policy, gpus, memory_limit, listen, seed, trace)
    config = Config(
        name=name,
        executors_min=low,
        executors_max=high,
        policy=policy,
        listen=listen or "",
        cores=os.cpu_count() or 1,
        gpus=asking.count_gpus() if gpus is None else gpus,
        threads=threads,
        preload=modules,
        executor_memory_bytes=memory_limit or 0,
        seed=seed,
        state_dir=state,
        durability=durability or "disk",
        history_max=history,
        memory_bytes_max=store_memory,
        disk_bytes_max=disk_limit,
        stores_min=stores_min,
        stores_max=stores_max,
        replication=copies,
        trace=trace,
    )
    with runtimes.state.lock:
        current = runtimes.state.current
        if current is not None and current.lost:
            current.down()
        nothing_asked = (*asked, *kept) == NOTHING_ASKED
        if current is None and inplace.home and nothing_asked and not detach:
            return connect(SCHEME + inplace.home)
        if current is not None and not current.closed and not detach:
            if current._settings == config or nothing_asked:
                return current
            raise ValueError(
                f"a runtime with other settings is up at {current.address}: cb.down() ends it and its state"
            )
        runtime = local.start(config, detached=detach)
        try:
            shell = ClientShell(runtime.directory, shorten)
        except BaseException:
            runtime.stop()
            raise
        if detach:
            runtimes.state.detached.append(runtime)
        client = Client(shell, None if detach else runtime, config)
        runtimes.use(client)
        if state:
            _warn_of_damage(client)
        return client


def _warn_of_damage(client: Client) -> None:
    """Say what of the state could not be read; what is intact is there."""
    damage = client._shell.ask(messages.Status).damage
    if damage:
        shown = "\n  ".join(damage[:DAMAGE_SHOWN_MAX])
        more = f"\n  … and {len(damage) - DAMAGE_SHOWN_MAX} more" if len(damage) > DAMAGE_SHOWN_MAX else ""
        warnings.warn(f"part of the state is damaged; the rest is there:\n  {shown}{more}", stacklevel=3)


def connect(
    address: str | os.PathLike[str],
    key_file: str | os.PathLike[str] | None = None,
    *,
    durability: str | None = None,
) -> Client:
    """Use a runtime that runs already.

    Parameters
    ----------
    address
        As ``client.address`` or ``cloudburst-nb status`` gives it, such as ``"unix:/tmp/…"``; of a runtime
        on another host, its connection file (``client.key_file`` there), or ``"tcp://HOST:PORT"``.
    key_file
        With a TCP address: the connection file, or a copy of it that only you can read.
    durability
        When this client's puts are acknowledged, as for `up`; by default as the runtime was told.

    Raises
    ------
    RuntimeUnavailable
        If no runtime answers there, or it does not know the key.

    Notes
    -----
    On another host, functions run with the runtime's directories and environment, not with yours.

    Examples
    --------
    >>> address = cb.up(executors=2, detach=True).address
    >>> client = cb.connect(address)                    # this could be in another notebook
    >>> client.get("nothing yet", "nothing")
    'nothing'
    >>> client.shutdown()

    From another host, with a copy of the file:

    >>> cb.connect("tcp://10.0.0.7:7000", key_file="connection.json")    # doctest: +SKIP
    """
    where = find(address, key_file)
    wanted = SCHEME + where if isinstance(where, str) else where.address
    with runtimes.state.lock:
        current = runtimes.state.current
        if runtimes.running() and current is not None and current.address == wanted:
            client = current
        else:
            client = Client(ClientShell(where, shorten), None)
        if durability is not None:
            client._set_durability(durability)
        if client is current:
            return client
        runtimes.use(client)
        return client


def embedded() -> Client:
    """The client in use, or that of a new runtime: whoever asks for this wants one, also after `down`."""
    return runtimes.ensure() if runtimes.running() else up()


def down() -> None:
    """Disconnect from the runtime in use, and end it if this process started it.

    After that no runtime starts by itself any more: `up` starts one.

    Examples
    --------
    >>> square(3).get()
    9
    >>> cb.down()
    >>> cb.running()
    False
    """
    if runtimes.state.current is not None:
        runtimes.state.current.down()
    elif not runtimes.state.ended:
        runtimes.state.ended = "the runtime was taken down: call cb.up() to start one"
