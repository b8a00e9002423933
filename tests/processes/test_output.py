"""What functions print is the call's own, whichever way it is written, and bounded."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time

import pytest

import cloudburst_nb as cb
from tests.processes.watching import eventually

pytestmark = pytest.mark.usefixtures("client")

LIMIT = 20.0


def test_print_of_each_call_is_its_own():
    @cb.function
    def say(word):
        print(word)
        print(word.upper(), file=sys.stderr)
        return word

    words = [f"word{n}" for n in range(20)]
    futures = say.map(words)
    cb.gather(futures, timeout=LIMIT)
    assert [future.stdout for future in futures] == [f"{word}\n" for word in words]
    assert [future.stderr for future in futures] == [f"{word.upper()}\n" for word in words]


def test_what_is_written_below_python_is_the_calls_too():
    @cb.function
    def write():
        os.write(1, b"by descriptor\n")
        os.write(2, b"to stderr\n")
        subprocess.run(["echo", "by a process"], check=True)
        libc = ctypes.CDLL(None)
        libc.printf(b"by C\n")
        libc.fflush(None)
        sys.stdout.buffer.write(b"by buffer\n")

    future = write()
    future.get(LIMIT)
    for line in ("by descriptor\n", "by a process\n", "by C\n", "by buffer\n"):
        assert line in future.stdout
    assert future.stderr == "to stderr\n"
    second = write()
    second.get(LIMIT)
    assert second.stdout == future.stdout


def test_output_of_c_code_that_is_not_flushed_belongs_to_its_call():
    @cb.function
    def unflushed(text):
        ctypes.CDLL(None).printf(text)

    futures = [unflushed(b"one\n"), unflushed(b"two\n")]
    cb.gather(futures, timeout=LIMIT)
    assert [future.stdout for future in futures] == ["one\n", "two\n"]


def test_a_failed_call_keeps_its_output():
    @cb.function
    def complain():
        print("before")
        raise ValueError("after")

    future = complain()
    assert isinstance(future.exception(LIMIT), ValueError)
    assert future.stdout == "before\n"


def test_megabytes_are_bounded_and_what_was_left_out_is_said():
    @cb.function
    def flood():
        for n in range(60_000):
            print(f"{n:06d} {'x' * 90}")
        return "done"

    future = flood()
    assert future.get(LIMIT) == "done"
    assert len(future.stdout) < 1_100_000
    assert future.stdout.startswith("000000")
    assert future.stdout.endswith(f"059999 {'x' * 90}\n")
    assert "characters left out" in future.stdout


def test_megabytes_below_python_are_bounded_and_said_too():
    @cb.function
    def flood():
        for n in range(60):
            os.write(1, f"{n:06d}".encode() + b"y" * 99_994)
        return "done"

    future = flood()
    assert future.get(LIMIT) == "done"
    assert len(future.stdout) < 1_100_000
    assert future.stdout.startswith("000000")
    assert "left out" in future.stdout
    quiet = cb.function(lambda: print("small"), name="quiet")()
    quiet.get(LIMIT)
    assert quiet.stdout == "small\n"


def test_output_of_a_long_call_is_seen_while_it_runs():
    @cb.function
    def talk(cloudburst):
        print("first line")
        cloudburst.progress(0.5, "half way")
        while cloudburst.get("output/go") is None:
            time.sleep(0.01)
        print("last line")

    future = talk()
    future.add_done_callback(lambda done: None)
    eventually(lambda: future.stdout == "first line\n")
    eventually(lambda: future.progress == (0.5, "half way"))
    assert future.running()
    assert future.node_states == {"talk": "running"}
    cb.put("output/go", 1)
    future.get(LIMIT)
    assert future.stdout == "first line\nlast line\n"


def test_every_function_of_a_dag_may_print():
    @cb.function
    def first(x):
        print("first")
        return x

    @cb.function
    def second(x):
        print("second")
        return x

    future = cb.dag("printing", first >> second)(1)
    future.get(LIMIT)
    assert future.stdout == "first\nsecond\n"


def test_threads_and_odd_characters_of_a_function_do_no_harm():
    @cb.function
    def odd():
        threads = [threading.Thread(target=print, args=(f"thread {n}",)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.write(1, b"\xff\xfe\n")
        print("\ud800 ü \x00")
        sys.stdout.flush()
        return sys.stdout.isatty()

    future = odd()
    assert future.get(LIMIT) is False
    assert sum(line.startswith("thread ") for line in future.stdout.splitlines()) == 5
