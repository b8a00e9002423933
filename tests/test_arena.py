"""Arenas in real shared memory: what is held does not change, and what nobody holds is used again."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cloudburst_runtime.lattices import LWW, SetLattice
from cloudburst_runtime.lattices.wrap import delta, is_lost, is_shared, reveal
from cloudburst_runtime.messages import Put, pack, unpack
from cloudburst_runtime.shared import Installed, Shared
from cloudburst_runtime.shell import arena_file
from cloudburst_runtime.shell.arena import Arena, Heir, reclaim
from cloudburst_runtime.shell.backing import Backing
from cloudburst_runtime.shell.holding import Holding

pytestmark = pytest.mark.skipif(
    not hasattr(fcntl, "F_OFD_SETLK") or not os.path.isdir(arena_file.ROOT), reason="no shared memory here"
)

MILLION = 1_000_000


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> Iterator[Holding]:
    made = Holding()
    monkeypatch.setattr(Installed, "memory", made)
    yield made
    gc.collect()
    made.settle()
    for mapped in made._arenas.values():
        mapped.close()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[str]:
    """The directory of a runtime, with a directory of arenas, which are gone at the end."""
    arena_file.make_directory(str(tmp_path))
    yield str(tmp_path)
    arena_file.remove_directory(str(tmp_path))


@pytest.fixture
def arena(runtime: str, holding: Holding) -> Iterator[Arena]:
    made = new_arena(runtime, "c1")
    yield made
    made.close()


def new_arena(runtime: str, name: str, bytes_max: int | None = None) -> Arena:
    lock = threading.Lock()
    return Arena(runtime, name, bytes_max, lambda: lock)


def put(arena: Arena, number: int, size: int = 100_000) -> LWW:
    """A shared array of one number."""
    moved = arena.moved(delta(np.full(size, number, np.uint8), "lww", "c1", number))
    assert isinstance(moved, LWW)
    return moved


def received(lattice: LWW) -> bytes:
    """A message with the lattice, as the wire has it."""
    return pack(Put(1, "k", lattice))


def used(runtime: str) -> int:
    return arena_file.usage(f"{arena_file.directory_name(runtime)}/x")[0]


class Reader:
    """Another process, which unpacks a message, holds its array, and says what is in it."""

    CODE = """
import sys
from cloudburst_runtime.lattices.wrap import is_lost, reveal
from cloudburst_runtime.messages import unpack
from cloudburst_runtime.shell.holding import install
install()
lattice = unpack(bytes.fromhex(sys.stdin.readline())).lattice
array = None if is_lost(lattice) else reveal(lattice)
del lattice
print("lost" if array is None else "held", flush=True)
for line in sys.stdin:
    print(array.min(), array.max(), array.flags.writeable, flush=True)
"""

    def __init__(self, message: bytes) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.state = self.ask(message.hex())

    def ask(self, line: str = "") -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.communicate()


# ---------------------------------------------------------------- writing and reading


def test_a_large_array_goes_to_shared_memory_and_comes_back_read_only(arena: Arena, runtime: str) -> None:
    value = {"a": np.arange(MILLION), "b": np.ones(20_000), "small": 1}
    lattice = arena.moved(delta(value, None, "c1", 1))
    assert is_shared(lattice)
    assert len(received(lattice)) < 1000
    back = reveal(unpack(received(lattice)).lattice)
    np.testing.assert_array_equal(back["a"], value["a"])
    np.testing.assert_array_equal(back["b"], value["b"])
    assert not back["a"].flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        back["a"][0] = 1
    assert used(runtime) >= 8 * MILLION


@pytest.mark.parametrize(
    "value", [1, "text", np.zeros(100), np.zeros(60_000, np.uint8), {1, 2}, [b"x" * MILLION]]
)
def test_small_values_and_other_lattices_stay_in_the_message(
    arena: Arena, runtime: str, value: object
) -> None:
    lattice = delta(value, None, "c1", 1)
    assert arena.moved(lattice) is lattice
    assert not os.listdir(os.path.join(arena_file.ROOT, arena_file.directory_name(runtime)))[1:]


def test_a_set_is_no_pair(arena: Arena) -> None:
    assert arena.moved(SetLattice({})) == SetLattice({})


def test_without_a_directory_values_stay_in_the_message(tmp_path: Path, holding: Holding) -> None:
    assert not is_shared(put(new_arena(str(tmp_path / "none"), "c1"), 1))


def test_an_array_keeps_its_memory_after_everything_else_is_gone(arena: Arena, holding: Holding) -> None:
    lattice = put(arena, 7)
    array = reveal(lattice)[10:]
    del lattice
    holding.settle()
    for number in range(20):
        put(arena, number)
    assert (array == 7).all()


def test_memory_is_used_again_once_the_last_view_is_gone(
    arena: Arena, holding: Holding, runtime: str
) -> None:
    for number in range(200):
        array = reveal(put(arena, number))
        assert (array == number).all()
        del array
        holding.settle()
    assert used(runtime) <= 3 * 131_072


def test_a_value_that_comes_too_late_is_lost(arena: Arena, holding: Holding) -> None:
    message = received(put(arena, 1))
    holding.settle()
    put(arena, 2)
    assert is_lost(unpack(message).lattice)


@pytest.mark.parametrize(
    "name", ["", "x", "../shm/c1", "cloudburst-nb-0-x/../..", "/etc/passwd", "a/b/c", "a/\0"]
)
def test_names_that_lead_elsewhere_are_lost(holding: Holding, name: str) -> None:
    assert Shared(name, 1, 1, 0, [10]).held is None


def test_a_file_that_is_no_arena_is_lost(runtime: str, holding: Holding) -> None:
    name = f"{arena_file.directory_name(runtime)}/e1"
    Path(arena_file.ROOT, name).write_bytes(b"x" * 4096)
    assert Shared(name, 1, 1, 0, [10]).held is None


# ---------------------------------------------------------------- two processes


def segment_of(lattice: LWW) -> int:
    assert lattice.value.shared is not None
    return lattice.value.shared.segment


def segments_of(arena: Arena, holding: Holding, count: int) -> set[int]:
    """The segments that so many values go to, each of them dropped before the next one is put."""
    found = set()
    for number in range(count):
        found.add(segment_of(put(arena, number)))
        holding.settle()
    return found


def test_a_segment_that_another_process_holds_is_not_recycled(arena: Arena, holding: Holding) -> None:
    lattice = put(arena, 1)
    segment = segment_of(lattice)
    with Reader(received(lattice)) as reader:
        assert reader.state == "held"
        del lattice
        holding.settle()
        assert segment not in segments_of(arena, holding, 20)
        assert reader.ask() == "1 1 False"
        reader.process.send_signal(signal.SIGKILL)
        reader.process.wait()
        kept = [put(arena, number) for number in range(2)]
        assert segment in map(segment_of, kept)


def test_a_reader_keeps_what_a_writer_left_behind(arena: Arena, runtime: str, holding: Holding) -> None:
    with Reader(received(put(arena, 5))) as reader:
        arena.close()
        arena_file.remove_directory(runtime)
        assert reader.ask() == "5 5 False"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_reads_on_after_the_parent_has_let_go(arena: Arena, holding: Holding) -> None:
    array = reveal(put(arena, 3))
    read, write = os.pipe()
    holding.before_fork()
    pid = os.fork()
    if pid == 0:
        holding.after_fork_in_child()
        arena.disown()
        os.read(read, 1)
        os._exit(0 if (array == 3).all() and not is_shared(put(arena, 4)) else 1)
    holding.after_fork_in_parent()
    del array
    holding.settle()
    for number in range(20):
        put(arena, number)
    os.write(write, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(read)
    os.close(write)


# ---------------------------------------------------------------- a full arena


def test_what_does_not_fit_stays_in_the_message(runtime: str, holding: Holding) -> None:
    arena = new_arena(runtime, "c1", bytes_max=500_000)
    kept = [put(arena, number) for number in range(10)]
    shared = [is_shared(lattice) for lattice in kept]
    assert shared == [True] * 4 + [False] * 6
    assert [int(reveal(lattice)[-1]) for lattice in kept] == list(range(10))
    assert used(runtime) <= 500_000
    del kept
    holding.settle()
    assert is_shared(put(arena, 11))
    holding.settle()
    assert is_shared(put(arena, 12, size=400_000))  # the other sizes make room for it
    arena.close()


def test_a_full_arena_takes_from_others_what_nobody_holds(runtime: str, holding: Holding) -> None:
    first, second = (new_arena(runtime, name, bytes_max=500_000) for name in ("c1", "c2"))
    kept = [put(first, number) for number in range(4)]
    assert not is_shared(put(second, 5))
    del kept[:2]
    holding.settle()
    second._reclaimed_at = -1e9
    assert is_shared(put(second, 6))
    assert [int(reveal(lattice)[-1]) for lattice in kept] == [2, 3]
    again = put(first, 7)
    assert (reveal(again) == 7).all()
    first.close()
    second.close()


def test_when_the_system_has_no_memory_the_value_stays_in_the_message(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Backing, "populate", full)
        assert not is_shared(put(arena, 1))
    assert is_shared(put(arena, 2))


def test_an_interrupt_while_a_value_is_copied_leaves_no_trace(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Arena, "_fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            put(arena, 1)
    first, second = put(arena, 2), put(arena, 3)
    assert [segment_of(first), segment_of(second)] == [1, 2]


def test_a_file_that_grows_keeps_its_old_views(
    runtime: str, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena_file, "FILE_BYTES_MIN", 2 << 20)
    arena = new_arena(runtime, "c1")
    arrays = [reveal(put(arena, number, size=300_000)) for number in range(12)]
    assert [int(array.min()) for array in arrays] == [int(array.max()) for array in arrays] == list(range(12))
    arena.close()


# ---------------------------------------------------------------- the end


def test_the_heir_frees_what_the_dead_have_left(runtime: str, holding: Holding) -> None:
    arena = new_arena(runtime, "c1")
    kept = [put(arena, number, size=1_000_000) for number in range(4)]
    path = Path(arena_file.ROOT, arena_file.directory_name(runtime), "c1")
    heir = Heir(runtime, holding.segments)
    holding.on_release = heir.free
    arena.close()
    del kept[0]
    holding.settle()
    heir.inherit("c1")
    assert 3_000_000 <= used(runtime) < 4_000_000
    assert [int(reveal(lattice)[0]) for lattice in kept] == [1, 2, 3]
    del kept[0]
    holding.settle()
    assert used(runtime) < 3_000_000
    kept.clear()
    holding.settle()
    assert not path.exists()


def test_the_heir_waits_for_readers(runtime: str, holding: Holding) -> None:
    arena = new_arena(runtime, "c1")
    kept = [put(arena, number, size=1_000_000) for number in range(3)]
    heir = Heir(runtime, holding.segments)
    holding.on_release = heir.free
    with Reader(received(kept[0])) as reader:
        arena.close()
        heir.inherit("c1")
        del kept[0]
        holding.settle()
        assert used(runtime) >= 3_000_000
        assert reader.ask() == "0 0 False"
    del kept[0]
    holding.settle()
    assert used(runtime) < 2_000_000


def test_what_was_reclaimed_is_lost_and_can_be_written_again(
    arena: Arena, holding: Holding, runtime: str
) -> None:
    message = received(put(arena, 1))
    holding.settle()
    assert reclaim(f"{arena_file.directory_name(runtime)}/c1") == []
    assert used(runtime) < 65_536
    assert is_lost(unpack(message).lattice)
    assert (reveal(put(arena, 2)) == 2).all()


def test_sweeping_removes_the_arenas_of_runtimes_that_are_gone(tmp_path: Path) -> None:
    alive, dead = tmp_path / "alive", tmp_path / "dead"
    for directory in (alive, dead):
        directory.mkdir()
        arena_file.make_directory(str(directory))
    dead.rmdir()
    arena_file.sweep()
    assert arena_file.is_reachable(str(alive))
    assert not arena_file.is_reachable(str(dead))
    arena_file.remove_directory(str(alive))
    assert not arena_file.is_reachable(str(alive))


def test_only_the_user_gets_in(runtime: str, arena: Arena) -> None:
    put(arena, 1)
    directory = os.path.join(arena_file.ROOT, arena_file.directory_name(runtime))
    assert os.stat(directory).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(directory, "c1")).st_mode & 0o777 == 0o600


# ---------------------------------------------------------------- stress


def violations(arena: Arena, holding: Holding, rounds: int) -> int:
    """Overwrite a value over and over while the arrays of some earlier ones are held; count what changed."""
    held: list[tuple[int, np.ndarray]] = []
    changed = 0
    for number in range(rounds):
        lattice = put(arena, number % 251, size=70_000)
        if number % 7 == 0:
            held.append((number % 251, reveal(lattice)))
        del lattice
        holding.settle()
        held = held[-5:]
        changed += sum(not bool((array == value).all()) for value, array in held)
    return changed


def test_arrays_that_are_held_never_change(arena: Arena, holding: Holding) -> None:
    assert violations(arena, holding, 300) == 0


def test_recycling_without_looking_would_be_noticed(
    arena: Arena, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = arena_file.lock
    monkeypatch.setattr(
        arena_file, "lock", lambda fd, segment, kind: lock(fd, segment, kind) or kind == fcntl.F_WRLCK
    )
    assert violations(arena, holding, 100) > 0


def test_reading_without_looking_at_the_generation_would_be_noticed(
    arena: Arena, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = received(put(arena, 1))
    holding.settle()
    read_line = arena_file.read_line
    put(arena, 2)
    monkeypatch.setattr(
        arena_file, "read_line", lambda fd, number: read_line(fd, number)._replace(generation=1)
    )
    assert (reveal(unpack(message).lattice) == 2).all()
