"""A real shell with the magics, over a fake client."""

import builtins
import inspect

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from cloudburst_kernel import client, magics
from cloudburst_runtime.errors import DagNotFound, FunctionNotFound, SerializationError


class FakeNode:
    """What both handles share: ``>>`` builds nested lists."""

    def __rshift__(self, other):
        return [self, other]

    def __rrshift__(self, other):
        return [other, self]


class FakeFunction(FakeNode):
    def __init__(self, name, version, raw, source=None, options=None):
        self.name, self.version, self.raw = name, version, raw
        self.source, self.options = source, options

    def __call__(self, *args, **kwargs):
        return ("future", self.name, args, kwargs)

    def __repr__(self):
        return self.name


class FakeClient:
    """The part of ``cloudburst_nb`` that the magics call, with the calls that would start a runtime."""

    def __init__(self):
        self.registered, self.dag_exprs, self.up_calls, self.is_running = {}, {}, [], False
        self.refused = None

    def function(self, obj, *, name=None, retries=1, timeout=None, batching=False, gpu=False, source=None):
        raw = obj.raw if isinstance(obj, FakeFunction) else obj
        name = name or raw.__name__
        if name == self.refused:
            raise SerializationError("variable 'lock' of f, of type _thread.lock")
        self.is_running = True
        needs = isinstance(raw, type) and "path" in inspect.signature(raw).parameters
        version = 0 if needs else (self.registered[name].version + 1 if name in self.registered else 1)
        options = {"retries": retries, "timeout": timeout, "batching": batching, "gpu": gpu}
        handle = FakeFunction(name, version, raw, source, options)
        if version:
            self.registered[name] = handle
        return handle

    def running(self):
        return self.is_running

    def up(self, executors=None, state_dir=None, seed=None):
        self.is_running = True
        self.up_calls.append((executors, state_dir) if seed is None else (executors, state_dir, seed))

    def connect(self, address):
        self.up((), address)

    def down(self):
        self.is_running = False

    def status(self):
        assert self.is_running, "status would start a runtime"
        return "status: 2 executors"

    def functions(self, prefix=""):
        return [name for name in self.registered if name.startswith(prefix)]

    def dags(self):
        return list(self.dag_exprs)

    def keys(self, prefix=""):
        return [key for key in ("a1", "a2", "b") if key.startswith(prefix)]

    def browse(self, prefix):
        return f"store: {', '.join(self.keys(prefix))}"

    def get_function(self, name):
        if name not in self.registered:
            raise FunctionNotFound(name)
        return self.registered[name]

    def dag(self, name, expr):
        self.dag_exprs[name] = FakeFunction(name, 1, expr)
        del self.dag_exprs[name].raw
        return self.dag_exprs[name]

    def get_dag(self, name):
        if name not in self.dag_exprs:
            raise DagNotFound(name)
        return self.dag_exprs[name]


@pytest.fixture
def cb(monkeypatch):
    fake = FakeClient()
    monkeypatch.setattr(client, "api", lambda: fake)
    return fake


@pytest.fixture
def shell(cb, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.delattr(builtins, "_", raising=False)  # a doctest's: IPython leaves one that is there alone
    InteractiveShell.clear_instance()
    config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    shell = InteractiveShell.instance(config=config)
    magics.load_ipython_extension(shell)
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell, capsys):
    """Run a cell; return (what it displayed, its error or None)."""

    def run_cell(cell):
        result = shell.run_cell(cell, store_history=True)
        return capsys.readouterr().out, result.error_before_exec or result.error_in_exec

    return run_cell


@pytest.fixture
def usage_error(shell):
    """The message of the `UsageError` that a line of ``%cloudburst`` ends in."""

    def message(line):
        with pytest.raises(UsageError) as caught:
            shell.run_line_magic("cloudburst", line)
        return str(caught.value)

    return message


@pytest.fixture
def make_function():
    """A handle as the client makes them."""
    return FakeFunction
