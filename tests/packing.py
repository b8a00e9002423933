"""What the tests of packing share: cells, cloud functions without a client, and another process."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from cloudburst_nb import beside, packaging
from cloudburst_nb.expression import Composable
from cloudburst_nb.packaging import pack
from cloudburst_runtime import values
from cloudburst_runtime.errors import SerializationError

RUNTIME = Path(packaging.__file__).parent.parent / "runtime"

MODEL = """
    class Model:
        def __init__(self, base, scale=1): self.base, self.scale = base, scale
        def run(self, x): return self.base + self.scale * x
    """


class Cloud(Composable):
    """A cloud function without a client: what packing sees of one."""

    def __init__(self, raw: Any, name: str = "", init: Any = ((), {})) -> None:
        self.__cloudburst_raw__ = raw
        self.__cloudburst_init__ = init
        self.name = name or raw.__name__
        self.lock = threading.Lock()  # like a real one, it cannot be pickled as it is

    def __call__(self, *args: Any) -> Any:
        raise AssertionError("a captured cloud function must run in place")

    def __reduce__(self) -> Any:
        return packaging.raw_reduce(self)


def cell(text: str, **names: Any) -> dict[str, Any]:
    """Run the text as a notebook runs a cell: in the namespace of ``__main__``."""
    text = textwrap.dedent(text)
    namespace = {"__name__": "__main__", **names}
    filename = f"<cell {hash(text)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), namespace)
    return namespace


def elsewhere(payload: bytes, expression: str, folder: Path) -> Any:
    """Evaluate an expression of ``f``, the unpickled payload, in a process that knows nothing of us."""
    code = f"import pickle, sys; f = pickle.load(sys.stdin.buffer); print(repr({expression}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=payload,
        capture_output=True,
        cwd=folder,
        env={"PYTHONPATH": str(RUNTIME), "PATH": os.environ["PATH"]},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return eval(done.stdout)


def refused(target: Any, **options: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        pack(target, **options)
    return str(caught.value)


def forget_modules() -> None:
    """Forget which modules travel by value, and what their files looked like."""
    values.BY_VALUE.set([])
    beside._stamps.clear()
    beside._asked_for.clear()
