"""Large values in a running runtime: they lie in shared memory, once, and nobody sees them change."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_runtime.shell import arena_file
from tests.processes.watching import (
    DEADLINE,
    PATIENCE,
    Script,
    directory_of,
    eventually,
    forget_all,
    nothing_left,
    runtime,
    supervisor_of,
)

pytestmark = pytest.mark.skipif(
    not hasattr(fcntl, "F_OFD_SETLK") or not os.path.isdir(arena_file.ROOT), reason="no shared memory here"
)

LIMIT = 20.0
MILLION = 1_000_000

WRITER = """
    import sys, time
    import numpy as np
    import cloudburst_nb as cb
    client = cb.connect({address!r})
    """


def used(client) -> int:
    """Bytes of shared memory that the runtime has."""
    return arena_file.usage(f"{arena_file.directory_name(directory_of(client))}/x")[0]


def files(client) -> set[str]:
    """The processes that have written large values."""
    path = os.path.join(arena_file.ROOT, arena_file.directory_name(directory_of(client)))
    return set(os.listdir(path)) - {arena_file.LINK}


# ---------------------------------------------------------------- reading and writing


def test_an_array_that_the_client_puts_is_read_by_functions_and_clients(client):
    @cb.function
    def look(cloudburst, key):
        array = cloudburst.get(key)
        return os.getpid(), float(array.sum()), array.flags.writeable, array is cloudburst.get(key)

    array = np.random.default_rng(1).random(MILLION)
    cb.put("arena/a", array)
    assert client.name in files(client)
    back = cb.get("arena/a")
    np.testing.assert_array_equal(back, array)
    assert not back.flags.writeable
    seen = [look("arena/a") for _ in range(20)]
    for _pid, total, writeable, _ in cb.gather(seen, timeout=LIMIT):
        assert total == pytest.approx(array.sum())
        assert writeable is False


def test_an_array_that_a_function_puts_is_read_by_others_by_reference_too(client):
    @cb.function
    def make(cloudburst, key, number):
        cloudburst.put(key, {"x": np.full(MILLION, number), "n": number})
        return float(cloudburst.get(key)["x"].sum())

    @cb.function
    def total(value):
        return float(value["x"].sum()) + value["n"]

    assert make("arena/b", 3).get(LIMIT) == 3 * MILLION
    assert any(name.startswith("e") for name in files(client))
    assert total(cb.ref("arena/b")).get(LIMIT) == 3 * MILLION + 3
    assert float(cb.get("arena/b")["x"][-1]) == 3


def test_a_function_that_reads_an_array_for_long_sees_it_as_it_was(client):
    @cb.function
    class Keeper:
        def __init__(self):
            self.kept = []

        def run(self, cloudburst, key):
            if key is not None:
                array = cloudburst.get(key)
                self.kept.append((int(array[0]), array))
            return [(number, int(array.min()), int(array.max())) for number, array in self.kept]

    keeper = Keeper.bind()
    seen = 0
    for number in range(60):
        cb.put("arena/c", np.full(20_000, number))
        if number % 10 == 0:
            seen += len(keeper("arena/c").get(LIMIT))
    kept = keeper(None).get(LIMIT)
    assert seen
    assert kept
    assert all(low == high == number for number, low, high in kept)


def test_a_key_that_is_overwritten_a_thousand_times_takes_no_more_memory(client):
    cb.put("arena/d", np.zeros(200_000, np.uint8))
    before = used(client)
    for number in range(1000):
        cb.put("arena/d", np.full(200_000, number % 200, np.uint8))
    assert (cb.get("arena/d") == 999 % 200).all()
    assert used(client) <= before + 8 * 262_144


def test_the_store_shows_the_size_of_what_it_has(client):
    cb.put("arena/size", np.zeros(MILLION))
    reply = client._keys("arena/size")
    assert reply.sizes[0] > 8 * MILLION


def test_deleted_values_are_no_longer_there(client):
    cb.put("arena/e", np.zeros(MILLION))
    cb.delete("arena/e")
    assert cb.get("arena/e", None) is None


# ---------------------------------------------------------------- stress

OVERWRITE = """
    {mutant}
    print("ready", flush=True)
    number = {first}
    while True:
        for key in ("stress/0", "stress/1", "stress/2"):
            client.put(key, np.full(100_000, number % 251, np.uint8))
            number += 1
    """

MUTANT = """
    import fcntl
    from cloudburst_runtime.shell import arena_file
    real = arena_file.lock
    arena_file.lock = lambda fd, segment, kind: real(fd, segment, kind) or kind == fcntl.F_WRLCK
    """


def hold_and_check(cloudburst, rounds):
    """Read keys that others overwrite; how often an array that is held changed, and how many were seen."""
    held, changed, seen = [], 0, set()
    for number in range(rounds):
        array = cloudburst.get(f"stress/{number % 3}")
        held.append((int(array[-1]), array))
        seen.add(held[-1][0])
        held = held[-8:]
        changed += sum(not bool((array == value).all()) for value, array in held)
    return changed, len(seen)


def stress(client, mutant, rounds):
    """Two processes overwrite, executors and this client read; the changes that anybody noticed."""
    for key in range(3):
        cb.put(f"stress/{key}", np.zeros(100_000, np.uint8))
    check = cb.function(hold_and_check)
    text = WRITER.format(address=client.address)
    with (
        Script(text + OVERWRITE.format(mutant=mutant, first=1)) as one,
        Script(text + OVERWRITE.format(mutant=mutant, first=100)) as two,
    ):
        assert [one.line(), two.line()] == ["ready", "ready"]
        here = hold_and_check(client, 100)
        there = cb.gather([check(rounds) for _ in range(4)], timeout=LIMIT * 3)
    assert here[1] > 1
    return [here, *there]


def test_nobody_sees_an_array_change_that_others_overwrite(client):
    results = stress(client, "", 300)
    assert [changed for changed, _ in results] == [0] * 5
    assert max(seen for _, seen in results) > 5


def test_the_stress_would_catch_writers_that_do_not_look_who_holds_a_segment(client):
    assert any(changed for changed, _ in stress(client, MUTANT, 300))


# ---------------------------------------------------------------- the end of a process


def test_what_a_killed_writer_has_put_stays_and_is_freed_when_it_is_replaced(client):
    text = WRITER.format(address=client.address)
    with Script(
        text
        + """
    for n in range(5):
        client.put(f"left/{n}", np.full(MILLION, n, np.uint8))
    print(client.name, flush=True)
    time.sleep(600)
    """.replace("MILLION", "1_000_000")
    ) as writer:
        name = writer.line()
        writer.end(signal.SIGKILL)
    assert [int(cb.get(f"left/{n}").max()) for n in range(5)] == list(range(5))
    for n in range(4):
        cb.put(f"left/{n}", 0)
    assert int(cb.get("left/4").min()) == 4
    assert name in files(client)
    cb.delete("left/4")
    eventually(lambda: name not in files(client), PATIENCE, "the arena of the killed writer is freed")


def test_a_killed_reader_holds_nothing(client):
    cb.put("arena/f", np.full(MILLION, 1, np.uint8))
    with Script(
        WRITER.format(address=client.address)
        + """
    kept = []
    for _ in range(20):
        kept.append(client.get("arena/f"))
        print(len(kept), flush=True)
        sys.stdin.readline()
    """
    ) as reader:
        for number in range(2, 12):
            reader.line()
            cb.put("arena/f", np.full(MILLION, number, np.uint8))
            reader.process.stdin.write("\n")
            reader.process.stdin.flush()
        reader.line()
        reader.end(signal.SIGKILL)
    before = used(client)
    for number in range(30):
        cb.put("arena/f", np.full(MILLION, number, np.uint8))
    assert used(client) <= before + 2 * MILLION
    assert (cb.get("arena/f") == 29).all()


def test_an_executor_that_dies_leaves_its_values(client):
    @cb.function(retries=0)
    def put_and_die(cloudburst, key):
        cloudburst.put(key, np.full(MILLION, 9, np.uint8))
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(cb.errors.ExecutorLost):
        put_and_die("arena/g").get(LIMIT)
    assert (cb.get("arena/g") == 9).all()


# ---------------------------------------------------------------- limits


@pytest.mark.usefixtures("alone")
def test_what_does_not_fit_travels_in_the_messages():
    with runtime(executors_min=1, arena_bytes_max=2 * MILLION) as client:
        for n in range(8):
            cb.put(f"k{n}", np.full(500_000, n, np.uint8))
        assert 0 < used(client) <= 2 * MILLION

        @cb.function
        def totals(cloudburst):
            return [int(cloudburst.get(f"k{n}").max()) for n in range(8)]

        assert totals().get(LIMIT) == list(range(8))
        assert [int(cb.get(f"k{n}").min()) for n in range(8)] == list(range(8))
        for n in range(8):
            cb.delete(f"k{n}")
        cb.put("again", np.zeros(1_900_000, np.uint8))
        assert int(cb.get("again").sum()) == 0


@pytest.mark.usefixtures("alone")
def test_without_shared_memory_all_is_as_it_was():
    with runtime(executors_min=1, arena_bytes_max=0) as client:
        cb.put("k", np.arange(MILLION))
        assert int(cb.get("k")[-1]) == MILLION - 1
        assert files(client) == set()


@pytest.mark.usefixtures("alone")
def test_a_client_that_cannot_reach_the_shared_memory_is_sent_the_values():
    with runtime(executors_min=1) as client:
        cb.put("k", np.arange(MILLION))
        with Script(
            """
            import cloudburst_runtime.shell.arena_file as arena_file
            arena_file.ROOT = "/nowhere"
            """
            + WRITER.format(address=client.address).replace("    ", "            ")
            + """
            print(int(client.get("k").sum()), flush=True)
            client.put("back", np.arange(1_000_000))
            print("done", flush=True)
            """.replace("    " * 3, "            ")
        ) as far:
            assert int(far.line()) == MILLION * (MILLION - 1) // 2
            assert far.line() == "done"
        assert int(cb.get("back")[-1]) == MILLION - 1


# ---------------------------------------------------------------- nothing is left


@pytest.mark.usefixtures("alone")
def test_after_down_there_is_no_shared_memory_and_arrays_live_on():
    client = cb.up(executors=1)
    path = os.path.join(arena_file.ROOT, arena_file.directory_name(directory_of(client)))
    cb.put("k", np.full(MILLION, 5))
    array = cb.get("k")
    assert os.path.isdir(path)
    cb.down()
    assert not os.path.exists(path)
    assert (array == 5).all()


@pytest.mark.usefixtures("alone")
def test_after_the_client_was_killed_there_is_no_shared_memory():
    with Script(
        """
        import time
        import numpy as np
        import cloudburst_nb as cb
        client = cb.up(executors=1)
        client.put("k", np.zeros(1_000_000))
        print(client.address, flush=True)
        time.sleep(600)
        """
    ) as owner:
        directory = owner.line().removeprefix("unix:")
        path = os.path.join(arena_file.ROOT, arena_file.directory_name(directory))
        assert os.path.isdir(path)
        owner.end(signal.SIGKILL)
    eventually(lambda: nothing_left(directory) and not os.path.exists(path), DEADLINE, f"{path} is gone")


@pytest.mark.usefixtures("alone")
def test_after_the_supervisor_was_killed_the_next_start_sweeps():
    client = cb.up(executors=1)
    directory = directory_of(client)
    path = os.path.join(arena_file.ROOT, arena_file.directory_name(directory))
    cb.put("k", np.zeros(MILLION))
    os.kill(supervisor_of(directory), signal.SIGKILL)
    forget_all()
    assert not os.path.exists(path)


@pytest.mark.usefixtures("client")
def test_many_threads_put_and_get_large_values():
    wrong = []

    def work(mine):
        for number in range(20):
            cb.put(f"threads/{mine}", np.full(100_000, number + mine, np.uint8))
            if not (cb.get(f"threads/{mine}") == number + mine).all():
                wrong.append((mine, number))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
