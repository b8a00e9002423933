"""Bad input: what a function raises comes back as itself, and what cannot work is said, with its name."""

from __future__ import annotations

import linecache
import math
import os
import sys
import threading
import time
import traceback

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb import errors
from cloudburst_nb.errors import (
    CallTimeout,
    FunctionNotFound,
    InvalidName,
    KeyNotFound,
    LatticeMismatch,
    RemoteTraceback,
    SerializationError,
)

pytestmark = pytest.mark.usefixtures("client")

LIMIT = 20.0


def shown(error):
    return "".join(traceback.format_exception(error))


# ---------------------------------------------------------------- what user code raises


def test_an_exception_comes_back_as_its_own_type_with_the_remote_lines():
    @cb.function
    def divide(x):
        return 1 / x  # this very line

    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        divide(0).get(LIMIT)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    text = shown(caught.value)
    assert "return 1 / x  # this very line" in text
    assert "sandbox.py" not in text
    assert isinstance(divide(0).exception(LIMIT), ZeroDivisionError)
    assert divide(1).exception(LIMIT) is None


def test_the_remote_traceback_shows_the_cell_of_a_captured_function_too(monkeypatch):
    cell = "def inner(x):\n    return 1 / x  # in the cell\n\n\ndef outer(x):\n    return inner(x)\n"
    lines = cell.splitlines(keepends=True)
    monkeypatch.setitem(linecache.cache, "<cell 7>", (len(cell), None, lines, "<cell 7>"))
    names = {"__name__": "__main__"}
    exec(compile(cell, "<cell 7>", "exec"), names)
    outer = cb.function(names["outer"], name="outer-of-a-cell")
    with pytest.raises(ZeroDivisionError) as caught:
        outer(0).get(LIMIT)
    assert "return 1 / x  # in the cell" in shown(caught.value)


def test_the_same_future_raises_every_time():
    @cb.function
    def bad():
        raise ValueError("again")

    future = bad()
    for _ in range(3):
        with pytest.raises(ValueError, match="again") as caught:
            future.get(LIMIT)
        assert shown(caught.value).count("raise self._exception") <= 1


def test_an_exception_class_of_the_notebook_with_its_own_init_comes_back():
    class Rejected(Exception):
        def __init__(self, code, *, reason):
            super().__init__(f"{code}: {reason}")
            self.code, self.reason = code, reason

    class Kept(Exception):
        def __init__(self, code):
            super().__init__(code)
            self.code = code

    @cb.function
    def reject(kind):
        raise Rejected(7, reason="full") if kind == "rejected" else Kept(8)

    with pytest.raises(Kept) as kept:
        reject("kept").get(LIMIT)
    assert kept.value.code == 8
    with pytest.raises((Rejected, SerializationError), match="7: full") as caught:
        reject("rejected").get(LIMIT)
    assert "Rejected" in shown(caught.value)


def test_an_exception_that_cannot_be_pickled_is_told_with_its_text_and_its_lines():
    @cb.function
    def hold():
        error = RuntimeError("holding a lock")
        error.lock = threading.Lock()
        raise error  # the line

    with pytest.raises(SerializationError, match="holding a lock") as caught:
        hold().get(LIMIT)
    assert "RuntimeError" in str(caught.value)
    assert "raise error  # the line" in shown(caught.value)


def test_causes_and_groups_and_odd_exceptions_come_back():
    class Mute(Exception):
        def __str__(self):
            raise TypeError("no words")

    @cb.function
    def chained(kind):
        if kind == "cause":
            try:
                {}["deep"]
            except KeyError as error:
                raise LookupError("outer") from error
        if kind == "group":
            raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
        if kind == "surrogate":
            raise OSError("\ud800 name")
        raise Mute

    with pytest.raises(LookupError, match="outer") as caught:
        chained("cause").get(LIMIT)
    assert "KeyError: 'deep'" in shown(caught.value)
    with pytest.raises(ExceptionGroup) as group:
        chained("group").get(LIMIT)
    assert len(group.value.exceptions) == 2
    with pytest.raises(OSError):
        chained("surrogate").get(LIMIT)
    assert isinstance(chained("mute").exception(LIMIT), Exception)


@pytest.mark.parametrize("status", [None, 0, 3, "bye"])
def test_sys_exit_is_an_exception_of_the_call_and_ends_nothing(status):
    @cb.function
    def leave(status):
        sys.exit(status)

    @cb.function
    def pid():
        return os.getpid()

    with pytest.raises(SystemExit) as caught:
        leave(status).get(LIMIT)
    assert caught.value.code == status
    assert pid().get(LIMIT) in {executor.pid for executor in cb.status().executors}


def test_keyboard_interrupt_and_generator_exit_in_user_code_come_back():
    @cb.function
    def interrupt(kind):
        raise {"key": KeyboardInterrupt, "gen": GeneratorExit}[kind]

    assert isinstance(interrupt("key").exception(LIMIT), KeyboardInterrupt)
    assert isinstance(interrupt("gen").exception(LIMIT), GeneratorExit)


def test_exhausted_recursion_is_an_exception():
    @cb.function
    def deeper(n):
        return 1 + deeper(n + 1)

    with pytest.raises(RecursionError):
        deeper(0).get(LIMIT)
    assert len(shown(deeper(0).exception(LIMIT))) < 200_000


def test_a_result_that_cannot_be_pickled_is_named_with_its_type():
    @cb.function
    def give(kind):
        if kind == "deep":
            nested = []
            for _ in range(100_000):
                nested = [nested]
            return nested
        return {"ok": 1, "lock": threading.Lock()} if kind == "lock" else (n for n in range(3))

    with pytest.raises(
        SerializationError, match=r"'give' returned.*the result\['lock'\], of type _thread.lock"
    ):
        give("lock").get(LIMIT)
    with pytest.raises(SerializationError, match="generator"):
        give("generator").get(LIMIT)
    with pytest.raises((SerializationError, RecursionError)):
        give("deep").get(LIMIT)


def test_a_result_whose_pickling_raises_fails_the_call_only():
    class Prickly:
        def __reduce__(self):
            raise KeyboardInterrupt("touched")

    @cb.function
    def prickly():
        return Prickly()

    assert prickly().exception(LIMIT) is not None


# ---------------------------------------------------------------- what cannot be sent


def test_an_argument_that_cannot_be_pickled_is_named_with_its_type():
    @cb.function
    def take(config, other=None):
        return config

    with pytest.raises(
        SerializationError, match=r"argument 'config' of 'take'.*config\['lock'\].*_thread.lock"
    ):
        take({"lock": threading.Lock()})
    with pytest.raises(SerializationError, match=r"argument 'other' of 'take'.*_io.TextIOWrapper"):
        take(1, other=sys.__stderr__)
    assert take(1).get(LIMIT) == 1


def test_a_future_inside_another_value_is_refused_with_what_to_do():
    @cb.function
    def take(xs):
        return xs

    with pytest.raises(SerializationError, match="xs"):
        take([take(1)])


def test_a_captured_variable_that_cannot_be_pickled_is_named_with_its_type():
    guard = threading.Lock()

    with pytest.raises(SerializationError, match=r"guard.*_thread.lock"):

        @cb.function
        def locked(x):
            with guard:
                return x


def test_a_missing_argument_is_a_type_error_that_names_it():
    @cb.function
    def pair(first, second):
        return first, second

    with pytest.raises(TypeError, match="'second'"):
        pair(1).get(LIMIT)
    with pytest.raises(TypeError, match="unexpected keyword argument 'third'"):
        pair(1, 2, third=3).get(LIMIT)
    assert pair(1, second=2).get(LIMIT) == (1, 2)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["", None, 3, "x" * 256, "ü" * 128, b"bytes", "\ud800"])
def test_a_name_must_be_a_short_string(name):
    with pytest.raises(InvalidName):
        cb.get_function(name)
    with pytest.raises(InvalidName):
        cb.put(name, 1)
    with pytest.raises(InvalidName):
        cb.get(name)
    with pytest.raises(InvalidName):
        cb.delete(name)
    with pytest.raises(InvalidName):
        cb.ref(name)
    with pytest.raises(InvalidName):
        cb.dag(name, functions=["f"], edges=[])
    with pytest.raises(InvalidName):
        cb.delete_dag(name)
    if name is not None:
        with pytest.raises(InvalidName):
            cb.function(len, name=name)


def test_the_longest_name_is_a_name():
    name = "n" * 255
    assert cb.function(lambda: 1, name=name)().get(LIMIT) == 1
    cb.put(name, 2)
    assert cb.get(name) == 2


def test_an_unknown_function_is_told_with_those_that_come_close(client):
    cb.function(lambda: 1, name="recognise")
    with pytest.raises(FunctionNotFound, match="recognise"):
        client.call("recognize").get(LIMIT)
    with pytest.raises(FunctionNotFound, match="recognize"):
        cb.get_function("recognize")


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_call_needs_a_sensible_timeout(timeout):
    first = cb.function(lambda: 1, name="first")
    with pytest.raises(ValueError, match="above 0"):
        cb.dag("timed", first)(timeout=timeout)
    with pytest.raises(ValueError, match="above 0"):
        cb.function(len, name="timed", timeout=timeout)


# ---------------------------------------------------------------- the tree


def test_every_error_says_whether_it_surely_did_not_take_effect(client):
    def call_timeout():
        client.call("waits", (cb.ref("errors/none"),)).get(timeout=0.05)

    def mismatch():
        cb.put("errors/set", {1})
        cb.put("errors/set", 1)

    cb.function(lambda x: x, name="waits")
    for make, kind, definite in (
        (lambda: cb.get("errors/nothing"), KeyNotFound, True),
        (call_timeout, CallTimeout, False),
        (mismatch, LatticeMismatch, True),
        (lambda: cb.get_dag("errors_nothing"), errors.DagNotFound, True),
    ):
        with pytest.raises(kind) as caught:
            make()
        assert isinstance(caught.value, errors.CloudburstError)
        assert caught.value.definite is definite
    assert isinstance(KeyNotFound("x"), KeyError)
    assert isinstance(CallTimeout("x"), TimeoutError)


def test_an_error_of_the_tree_raised_by_user_code_comes_back_as_itself():
    @cb.function
    def raises(cloudburst):
        cloudburst.put("", 1)

    with pytest.raises(InvalidName, match="empty"):
        raises().get(LIMIT)


@pytest.mark.parametrize(
    ("timeout", "kind"), [("soon", TypeError), (True, TypeError), (math.nan, ValueError)]
)
def test_a_timeout_that_is_no_number_is_told_by_all_that_wait_before_they_do_anything(timeout, kind):
    one = cb.function(lambda: 1, name="one-in-time")
    waits = cb.function(lambda cloudburst, timeout: cloudburst.recv(timeout), name="waits-for-mail")
    dag = cb.dag("in-time", one)
    future = one()
    for wait in (
        lambda: future.get(timeout),
        lambda: future.exception(timeout),
        lambda: cb.gather(future, timeout=timeout),
        lambda: cb.progress(future, timeout=timeout),
        lambda: list(cb.as_completed([future], timeout)),
        lambda: cb.wait([future], timeout),
        lambda: cb.put("errors/timed", 1, timeout=timeout),
        lambda: cb.get("errors/timed", None, timeout=timeout),
        lambda: cb.delete("errors/timed", timeout=timeout),
        lambda: cb.history("errors/timed", timeout=timeout),
        lambda: cb.replicate("errors/timed", 1, timeout),
        lambda: cb.add_store(timeout),
        lambda: cb.remove_store("s9", timeout),
        lambda: dag(timeout=timeout),
        lambda: cb.function(len, name="timed", timeout=timeout),
        lambda: waits(timeout).get(LIMIT),
    ):
        for _ in range(2):  # also of what is done already
            with pytest.raises(kind, match="timeout is a number of seconds"):
                wait()
            assert future.get(LIMIT) == 1
    assert cb.get("errors/timed", "never put") == "never put"
    assert [store.name for store in cb.stores()] == ["node"]


def test_any_number_of_seconds_will_do():
    one = cb.function(lambda: 1, name="one-for-long")
    for timeout in (math.inf, 1e300, 10**400, np.float32(LIMIT), np.int64(20)):
        assert one().get(timeout) == 1
        assert cb.gather(one.map([]), one(), timeout=timeout) == [1]
        cb.put("errors/for-long", 1, timeout=timeout)
    assert cb.dag("for-long", one)(timeout=np.float32(LIMIT)).get(LIMIT) == 1
    assert not cb.wait([cb.function(lambda: time.sleep(0.1), name="a-while")()], -math.inf).done
