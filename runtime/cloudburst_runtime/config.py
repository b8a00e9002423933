"""The runtime's configuration: frozen, every limit in it, the unit last in each name."""

from __future__ import annotations

import msgspec

POLICIES = ("locality", "random", "round-robin")
DURABILITIES = ("disk", "memory")

STORES_MAX = 64
"""Stores that a runtime may have."""


def waits_for_disk(durability: str, state_dir: str) -> bool:
    """Whether puts of this durability wait for the disk, in a runtime with this ``state_dir``.

    Raises
    ------
    ValueError
        If there is no such durability, or no disk.

    Examples
    --------
    >>> waits_for_disk("memory", "")
    False
    """
    if durability not in DURABILITIES:
        raise ValueError(f"durability is one of {', '.join(DURABILITIES)}, not {durability!r:.80}")
    if durability == "disk" and not state_dir:
        raise ValueError("durability='disk' needs a runtime with a state_dir: cb.up(state_dir=...)")
    return durability == "disk"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime is started with. It travels to every process as it is.

    Examples
    --------
    >>> Config(executors_min=2).executors_max
    32
    """

    name: str = "local"
    executors_min: int = 2
    executors_max: int = 32
    policy: str = "locality"
    locality_random_share: float = 0.2
    """How often a call with references goes to a random executor, so that hot data spreads."""

    listen: str = ""
    """Where clients on other hosts connect, as ``tcp://HOST:PORT``; empty: nowhere."""
    silence_ms: int = 15_000
    """A client or store on another host of which nothing has come for this long is given up."""
    gpus: int = 0
    seed: int | None = None
    """Each call draws the random numbers that follow from this and from its identity; None: from nothing."""
    trace: bool = False
    """Take stamps of each call's stages (`shell.tracing`)."""
    spin_us: float = 100.0
    """How long a process that waits for messages looks before it sleeps (`shell.spinning`); 0: not at all."""
    threads: int = 1
    """BLAS and OpenMP threads in each executor."""
    preload: tuple[str, ...] = ()
    """Modules imported once, before executors are forked."""
    executor_memory_bytes: int = 0
    """Limit on the private memory of one executor; 0: none."""

    pressure_after_ms: float = 100.0
    """A call that waited this long in a busy executor's queue asks for more executors."""
    cores: int = 2
    """Processors of this machine: executors that compute are not forked beyond these at once."""
    computing_growth_ms: float = 1_000.0
    """Beyond the cores, one executor in this time is added for calls that compute."""
    drain_ms: float = 1_000.0
    """Short calls that wait are worth as many more executors as would run them all in this time."""
    executor_idle_ms: float = 30_000.0
    """An executor above the minimum that was idle this long leaves."""
    avoid_busy_ms: float = 5_000.0
    """How long an executor that reported pressure gets no new placement."""
    revoke_wait_ms: float = 1_000.0
    """How long a revocation waits for a client that does not acknowledge it."""
    resend_ms: float = 1_000.0
    """The first interval after which an unanswered message is sent again; it doubles up to ten of these."""

    together_ms: float = 0.3
    """How long the result of a short call may wait for those of the calls behind it, and a call that would
    have to wait in an executor for those that follow, to be sent together. (A reminder is due after 1 ms.)"""
    together_after: int = 8
    """After so many short runs in a row results may wait; behind so many unfinished calls, further calls."""
    short_run_ms: float = 0.1
    """Runs that take less than this are short."""
    batch_max: int = 20
    """The most waiting requests that one call of a batching function takes."""
    unanswered_max: int = 10
    """An executor that asked a client so often whether a call is under way, ten of the intervals above apart,
    and was never answered, gives the call up."""
    outputs_kept_max: int = 512
    """Finished tasks whose outcome an executor keeps, to answer a repeated request."""
    output_kept_bytes_max: int = 65_536
    """An outcome larger than this is not kept."""
    printed_bytes_max: int = 1_048_576
    """What is kept of one call's stdout, and of its stderr."""
    cache_bytes_max: int = 256 * 1024 * 1024
    """How much one executor's cache holds."""
    arena_bytes_max: int | None = None
    """How much shared memory large values may take; None: a quarter of what is free; 0: none, they travel
    in the messages."""
    tombstones_max: int = 100_000
    """Deleted keys that the store remembers, so that a late write does not revive them."""
    results_max: int = 10_000
    """Results under keys of their own (``future.key``, and every call of the original's client) that a store
    keeps; the oldest beyond these are deleted,"""
    results_bytes_max: int = 1024 * 1024 * 1024
    """and the oldest beyond these bytes."""
    siblings_max: int = 64
    """Concurrent causal writes of one key that are kept side by side; the oldest beyond these are dropped."""

    state_dir: str = ""
    """Where state is kept that survives the runtime; empty: nowhere."""
    durability: str = "disk"
    """When a put is acknowledged that does not say, with a ``state_dir``: ``disk``, when it is on disk;
    ``memory``, when the store has it, which writes it within ``flush_ms``."""
    flush_ms: float = 100.0
    """How long a put that is not waited for may not be on disk."""
    memory_bytes_max: int | None = None
    """How many bytes of values a store keeps in memory, the others on disk; None: half of the machine's."""
    disk_bytes_max: int | None = None
    """How large the file of a store may become; None: as large as the disk lets it."""
    history_max: int = 8
    """Versions of a key that are kept, the current one included."""
    history_bytes_max: int = 256 * 1024
    """How many bytes the earlier versions of one key may have together."""

    stores_min: int = 1
    """Storage processes, the node's own among them, that are there from the start."""
    stores_max: int = 1
    """More than ``stores_min``: let load and size decide how many there are."""
    replication: int = 1
    """How many stores keep each key, if there are so many."""
    away_ms: float = 5_000.0
    """How long a request waits for a store on another host that is away and may have the key alone."""
    anti_entropy_ms: float = 10_000.0
    """What has changed is compared between the stores that keep it, this long afterwards."""
    stats_ms: float = 2_000.0
    """How often a store that is busy says what it has and what is asked of it."""
    store_operations_high_per_s: float = 4_000.0
    """A store is added when the stores answer more reads and writes than this on average,"""
    store_bytes_high: int = 1024 * 1024 * 1024
    """or have more bytes than this on average."""
    store_low_share: float = 0.3
    """A store is removed when those that stay would be below this share of both,"""
    calm_ms: float = 10_000.0
    """and have been for so long; as long, a key is kept by as many after it was hot."""
    hot_key_operations_per_s: float = 1_000.0
    """A key that is read and written more often than this on each of its stores is kept by one more."""
