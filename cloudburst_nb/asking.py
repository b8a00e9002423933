"""What `up` may be asked for: each option is checked before anything starts.

Law: nothing is started here. An error names the option, what it is, and what was given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple, TypeGuard

from cloudburst_runtime.config import STORES_MAX

EXECUTORS_MAX = 32
"""How many executors there may be if nobody says."""


class Number(NamedTuple):
    """An option that is a whole number: what it says, its bounds, and whether it may be None."""

    what: str
    low: int
    high: int
    optional: bool = True


BYTES_MAX = 2**47
"""As many as a process has addresses for."""

NUMBERS = {
    "history": Number("how many versions of a key are kept", 1, 1_000_000, optional=False),
    "store_memory": Number("how many bytes of values are in memory", 0, BYTES_MAX),
    # a store with less could keep next to nothing
    "disk_limit": Number("how many bytes the store may take on disk", 65_536, BYTES_MAX),
    "memory_limit": Number("how many bytes an executor may take", 128 * 1024 * 1024, BYTES_MAX),
    "threads": Number("how many threads BLAS and OpenMP take per executor", 1, 4096, optional=False),
    "gpus": Number("how many GPUs this machine has", 0, 4096),
}


def directory(state_dir: str | os.PathLike[str]) -> str:
    """Where the state lies, whatever the working directory is later."""
    if not isinstance(state_dir, str | bytes | os.PathLike):
        raise TypeError(f"state_dir is the path of a directory, or None; not {state_dir!r:.80}")
    given = os.fsdecode(state_dir)
    if not given:
        raise ValueError("state_dir='' names no directory: give a path, or None to keep nothing")
    if "\0" in given:
        raise ValueError(f"state_dir={given!r:.80} names no directory: a path has no NUL in it")
    return os.path.abspath(os.path.expanduser(given))


def executor_range(executors: int | tuple[int, int] | None) -> tuple[int, int]:
    """With how many executors a runtime begins, and how many there may be."""
    if executors is None:
        return max(2, os.cpu_count() or 1), EXECUTORS_MAX
    both = executors if isinstance(executors, tuple | list) else (executors, executors)
    if len(both) != 2 or not all(map(_is_whole, both)):
        raise TypeError(f"executors is a whole number, or (min, max); not {executors!r:.80}")
    low, high = both
    if both is not executors:
        high = max(high, EXECUTORS_MAX)
    if not 1 <= low <= high <= 1000:
        raise ValueError(f"executors must be from 1 to 1000, min not above max; not {executors!r}")
    return low, high


def store_range(stores: int | tuple[int, int]) -> tuple[int, int]:
    """With how many stores a runtime begins, and how many there may be."""
    both = stores if isinstance(stores, tuple) else (stores, stores)
    if len(both) != 2 or not all(map(_is_whole, both)):
        raise TypeError(f"stores is a whole number, or (min, max); not {stores!r:.80}")
    low, high = both
    if not 1 <= low <= high <= STORES_MAX:
        raise ValueError(f"stores is a number from 1 to {STORES_MAX}, or (min, max); not {stores!r}")
    return low, high


def copies(replication: int | None, reachable: int, stores_max: int) -> int:
    """How many stores keep a key; ``reachable``: how many stores there may come to be."""
    if replication is None:
        return min(2, stores_max)
    if not _is_whole(replication):
        raise TypeError(f"replication is a whole number; not {replication!r:.80}")
    if not 1 <= replication <= STORES_MAX:
        raise ValueError(f"replication is a number from 1 to {STORES_MAX}; not {replication!r}")
    if replication > reachable:
        count = "one store" if stores_max == 1 else f"{stores_max} stores"
        raise ValueError(
            f"replication={replication} is more than {count} can keep of a key: say stores={replication}, or "
            f"stores=({min(stores_max, replication)}, {replication}) to begin with fewer"
        )
    return replication


def check_number(option: str, given: object) -> None:
    """Refuse what is no whole number within the bounds of an option."""
    what, low, high, optional = NUMBERS[option]
    if given is None and optional:
        return
    if not _is_whole(given):
        raise TypeError(f"{option} is {what}, a whole number; not {given!r:.80}")
    if not low <= given <= high:
        raise ValueError(f"{option} is {what}, from {low} to {high}; not {given}")


def check_text(option: str, given: object, what: str) -> None:
    """Refuse what is no string."""
    if not isinstance(given, str):
        raise TypeError(f"{option} is {what}, a string; not {given!r:.80}")


def module_names(preload: Iterable[str]) -> tuple[str, ...]:
    """The modules to import once."""
    if isinstance(preload, Iterable) and not isinstance(preload, str):
        names = tuple(preload)
        if all(isinstance(name, str) for name in names):
            return names
    raise TypeError(f'preload is a list of names of modules, as ["numpy"]; not {preload!r:.80}')


def whole_number(seed: object) -> int | None:
    """The seed, if there is to be one."""
    if seed is None or _is_whole(seed):
        return seed
    raise TypeError(f"seed is a whole number, or None; not {seed!r:.80}")


def count_gpus() -> int:
    """NVIDIA devices that the system shows."""
    try:
        return sum(entry.startswith("nvidia") and entry[6:].isdigit() for entry in os.listdir("/dev"))
    except OSError:
        return 0


def _is_whole(given: object) -> TypeGuard[int]:
    return isinstance(given, int) and not isinstance(given, bool)
