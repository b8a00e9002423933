"""Modules that lie beside the notebook: which they are, and that an edit of them reaches the executors."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloudburst_nb import beside
from cloudburst_nb.packaging import pack
from cloudburst_runtime import values
from tests.packing import RUNTIME, cell, elsewhere, forget_modules, refused


@pytest.fixture(autouse=True)
def by_value_modules() -> Iterator[None]:
    """Leave the modules that travel by value as they were."""
    yield
    forget_modules()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The folder of a notebook, with modules beside it: ``project(helpers="text")`` writes them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = list(sys.modules)

    def write(**modules: str) -> Path:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return tmp_path

    yield write
    for name in [name for name in sys.modules if name not in loaded]:
        del sys.modules[name]


def test_a_module_beside_the_notebook_travels_by_value(project: Any, tmp_path_factory: Any) -> None:
    project(helpers="FACTOR = 3\ndef scale(x): return FACTOR * x\nclass Box:\n    pass\n")
    names = cell(
        "import helpers, json\nfrom helpers import scale\ndef f(x): return helpers.scale(x) + scale(x)"
    )
    packed = pack(names["f"])
    away = tmp_path_factory.mktemp("away")
    assert elsewhere(packed.spec.payload, "f(2)", away) == 12
    assert [module.__name__ for module in beside.beside_modules()] == ["helpers"]
    box = values.encode(names["helpers"].Box())
    assert elsewhere(box.data, "type(f).__name__", away) == "Box"


def test_an_edit_reaches_the_next_registration(project: Any, tmp_path_factory: Any) -> None:
    project(helpers="def scale(x): return 2 * x\n")
    names = cell("import helpers\nfrom helpers import scale\ndef f(x): return helpers.scale(x), scale(x)")
    away = tmp_path_factory.mktemp("away")
    assert elsewhere(pack(names["f"]).spec.payload, "f(1)", away) == (2, 2)
    project(helpers="def scale(x): return 5 * x\n")  # of equal size, and most likely of the same second
    assert elsewhere(pack(names["f"]).spec.payload, "f(1)", away) == (5, 5)
    assert names["f"](1) == (5, 5)


def test_an_edit_reaches_a_function_of_the_module_itself(project: Any, tmp_path_factory: Any) -> None:
    project(helpers="def scale(x): return 2 * x\n")
    names = cell("from helpers import scale\ndef other(): ...")
    scale = names["scale"]
    pack(names["other"])
    project(helpers="def scale(x): return 50 * x\n")
    packed = pack(scale)
    assert packed.raw is sys.modules["helpers"].scale
    assert elsewhere(packed.spec.payload, "f(1)", tmp_path_factory.mktemp("away")) == 50


def test_a_class_of_the_notebook_follows_the_edit(project: Any, tmp_path_factory: Any) -> None:
    project(helpers="def scale(x): return 2 * x\n")
    names = cell("from helpers import scale\nclass M:\n    def run(self, x): return scale(x)")
    pack(names["M"])
    project(helpers="def scale(x): return 500 * x\n")
    payload = pack(names["M"]).spec.payload
    assert elsewhere(payload, "f[0]().run(1)", tmp_path_factory.mktemp("away")) == 500


def test_a_script_follows_the_edit_of_a_module_beside_it(project: Any, tmp_path_factory: Any) -> None:
    folder = project(
        helpers="def scale(x): return 2 * x\n",
        script="""
            import pathlib, pickle, sys
            from cloudburst_nb.packaging import pack
            from helpers import scale

            def f(x): return scale(x)

            pack(f)
            pathlib.Path("helpers.py").write_text("def scale(x): return 500 * x\\n")
            sys.stdout.buffer.write(pack(f).spec.payload)
        """,
    )
    path = os.pathsep.join([str(RUNTIME.parent), str(RUNTIME)])
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, cwd=folder, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr.decode()
    assert elsewhere(done.stdout, "f(1)", tmp_path_factory.mktemp("away")) == 500


def test_an_edit_before_the_first_registration_is_seen(project: Any, tmp_path_factory: Any) -> None:
    project(helpers="def scale(x): return 2 * x\n")
    names = cell("import helpers\ndef f(x): return helpers.scale(x)")
    project(helpers="def scale(x): return 1000 * x\n")
    expected = 2 if sys.dont_write_bytecode else 1000
    assert elsewhere(pack(names["f"]).spec.payload, "f(1)", tmp_path_factory.mktemp("away")) == expected


def test_an_edit_below_reaches_the_modules_above(project: Any, tmp_path_factory: Any) -> None:
    project(top="from low import base\ndef f(x): return base(x)\n", low="def base(x): return x\n")
    names = cell("import top\ndef f(x): return top.f(x)")
    pack(names["f"])
    project(low="def base(x): return -x\n")
    assert elsewhere(pack(names["f"]).spec.payload, "f(1)", tmp_path_factory.mktemp("away")) == -1


def test_a_module_that_was_only_touched_keeps_its_state(project: Any) -> None:
    folder = project(helpers="state = []\ndef f(): return state\n")
    names = cell("import helpers\ndef f(): return helpers.f()")
    pack(names["f"])
    names["helpers"].state.append(1)
    os.utime(folder / "helpers.py", (1, 1))
    pack(names["f"])
    assert names["helpers"].state == [1]


def test_an_edited_module_that_is_not_used_is_left_alone(project: Any) -> None:
    project(train="runs = 1\n", helpers="def f(): return 1\n")
    names = cell("import train, helpers\ndef f(): return helpers.f()")
    pack(names["f"])
    project(train="raise RuntimeError('must not run')\n")
    pack(names["f"])
    assert names["train"].runs == 1


def test_a_module_that_cannot_be_imported_again_is_named_and_kept(project: Any) -> None:
    project(helpers="def f(): return 1\n")
    names = cell("import helpers\ndef f(): return helpers.f()")
    pack(names["f"])
    for broken in ("def f(: return 22\n", "half = 1\nraise ValueError('no data')\n"):
        project(helpers=broken)
        text = refused(names["f"])
        assert "module 'helpers' (" in text
        assert "was edited since it was imported, and cannot be imported again" in text
        assert names["f"]() == 1
        assert not hasattr(names["helpers"], "half")
    assert text.endswith("ValueError: no data")


def test_modules_that_import_each_other_travel(project: Any, tmp_path_factory: Any) -> None:
    folder = project() / "pkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import left, right\n")
    (folder / "left.py").write_text("import pkg\ndef f(n): return pkg.right.f(n - 1)\n")
    (folder / "right.py").write_text("import pkg\ndef f(n): return 'end' if n == 0 else pkg.left.f(n - 1)\n")
    names = cell("import pkg\ndef f(n): return pkg.left.f(n)")
    assert elsewhere(pack(names["f"]).spec.payload, "f(5)", tmp_path_factory.mktemp("away")) == "end"


def test_what_cannot_travel_in_a_module_is_named(project: Any) -> None:
    project(helpers="import threading\nlock = threading.Lock()\n")
    names = cell("import helpers\ndef f(): return helpers.lock")
    assert "function 'f' captures `helpers.lock`, of type _thread.lock" in refused(names["f"])


def test_installed_modules_travel_by_name(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for inside in (project() / ".venv" / "lib", project() / "site-packages"):
        inside.mkdir(parents=True)
        (inside / f"in_{len(str(inside))}.py").write_text("def g(): ...\n")
        monkeypatch.syspath_prepend(str(inside))
        cell(f"import in_{len(str(inside))}")
    assert [module.__name__[:3] for module in beside.beside_modules()] == ["in_"]
    (project() / ".venv" / "pyvenv.cfg").write_text("")
    assert beside.beside_modules() == []
    names = cell("import numpy, cloudburst_nb\ndef f(): return numpy.zeros(1), cloudburst_nb")
    assert len(pack(names["f"]).spec.payload) < 1000
    assert len(pack(np.linalg.norm).spec.payload) < 100


def test_a_module_can_be_asked_to_travel(project: Any) -> None:
    project()
    names = cell("import colorsys\ndef f(): return colorsys.ONE_THIRD")
    small = len(pack(names["f"]).spec.payload)
    assert len(pack(names["f"], values=[sys.modules["colorsys"]]).spec.payload) > 3 * small
    with pytest.raises(TypeError, match="only modules can be made to travel by value, not str"):
        pack(names["f"], values=["colorsys"])  # type: ignore[list-item]
