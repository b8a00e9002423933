"""Packing: what travels, that it lives again in another process, and what is said when it cannot."""

from __future__ import annotations

import functools
import linecache
import math
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloudburst_nb import beside, packaging
from cloudburst_nb.capturing import survey
from cloudburst_nb.expression import Composable
from cloudburst_nb.packaging import CapturedLargeValue, pack
from cloudburst_runtime import messages, values
from cloudburst_runtime.errors import InvalidName, SerializationError

RUNTIME = Path(packaging.__file__).parent.parent / "runtime"


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


@pytest.fixture(autouse=True)
def by_value_modules() -> Any:
    """Leave the modules that travel by value as they were."""
    yield
    values.BY_VALUE.set([])
    beside._stamps.clear()
    beside._asked_for.clear()


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


# ---------------------------------------------------------------- what a spec says


def test_a_function_becomes_a_spec() -> None:
    names = cell(
        """
        offset = 2
        def shift(x, by=1):
            return x + by + offset
        """
    )
    packed = pack(names["shift"], retries=3, timeout=2.5, batching=True, gpu=True)
    spec = packed.spec
    assert (spec.name, spec.version, spec.kind, spec.library) == ("shift", 0, "function", False)
    assert (spec.retries, spec.timeout, spec.batching, spec.gpu) == (3, 2.5, True, True)
    assert spec.source == "def shift(x, by=1):\n    return x + by + offset\n"
    assert spec.signature == "(x, by=1)"
    assert packed.raw is names["shift"]
    assert [(found.name, found.type) for found in packed.captured] == [("offset", "int"), ("by", "int")]
    assert messages.unpack(messages.pack(messages.Register(1, spec))).function == spec


def test_a_function_runs_elsewhere_with_what_it_captured(tmp_path: Path) -> None:
    names = cell(
        """
        import math
        table = [1, 2, 3]
        def helper(x): return x * table[1]
        def make(k):
            def closure(x, *, more=10): return helper(x) + k + more + math.floor(2.5)
            return closure
        """
    )
    packed = pack(names["make"](100))
    assert elsewhere(packed.spec.payload, "f(3)", tmp_path) == 6 + 100 + 10 + 2
    assert [found.name for found in packed.captured] == ["k", "helper", "math", "more", "table"]
    assert packed.missing == []


def test_given_source_and_name_win() -> None:
    spec = pack(cell("def f(): return 1")["f"], "other", source="the text").spec
    assert (spec.name, spec.source) == ("other", "the text")


def test_no_source_is_no_error() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(x): return x", namespace)
    assert pack(namespace["f"]).spec.source == ""


def test_the_source_of_a_class_of_a_notebook_is_found() -> None:
    names = cell(
        """
        import functools
        class Other:
            def run(self): return 0
        @functools.total_ordering
        class Model:
            def __lt__(self, other): return False
            def run(self, x): return x
        """
    )
    source = pack(names["Model"]).spec.source
    assert source.startswith("@functools.total_ordering\nclass Model:")
    assert source.endswith("return x\n")


@pytest.mark.parametrize(
    ("text", "takes"),
    [("def f(cloudburst, key): ...", True), ("def f(key, cloudburst): ...", False), ("def f(): ...", False),
     ("def f(*, cloudburst): ...", False)],
)  # fmt: skip
def test_a_first_parameter_called_cloudburst_asks_for_the_library(text: str, takes: bool) -> None:
    assert pack(cell(text)["f"]).spec.library is takes


def test_the_library_is_no_part_of_the_signature() -> None:
    follow = cell("def follow(cloudburst, key, depth=2): ...")["follow"]
    assert pack(follow).spec.signature == "(key, depth=2)"
    assert pack(cell("def f(lib, x): ...")["f"], library=True).spec.signature == "(x)"
    assert pack(follow, library=False).spec.signature == "(cloudburst, key, depth=2)"


def test_a_forced_library_needs_a_parameter_to_go_to() -> None:
    with pytest.raises(TypeError, match=r"function 'f' takes no argument, and the first is the user library"):
        pack(cell("def f(): ...")["f"], library=True)


# ---------------------------------------------------------------- classes


MODEL = """
    class Model:
        def __init__(self, base, scale=1): self.base, self.scale = base, scale
        def run(self, x): return self.base + self.scale * x
    """


def test_a_class_travels_with_its_init_arguments(tmp_path: Path) -> None:
    packed = pack(cell(MODEL)["Model"], init=((10,), {"scale": 3}))
    assert (packed.spec.kind, packed.spec.signature) == ("class", "(x)")
    assert packed.init == ((10,), {"scale": 3})
    assert elsewhere(packed.spec.payload, "f[0](*f[1], **f[2]).run(4)", tmp_path) == 22


@pytest.mark.parametrize(
    ("init", "run", "expected"),
    [("self", "self, x", (False, False)), ("self, cloudburst", "self, x", (False, True)),
     ("self", "self, cloudburst, x", (True, False)), ("self, cloudburst", "self, cloudburst", (True, True))],
)  # fmt: skip
def test_run_and_init_ask_for_the_library_each_for_itself(init: str, run: str, expected: Any) -> None:
    text = f"""
    class Model:
        def __init__({init}): ...
        def run({run}): ...
    """
    spec = pack(cell(text)["Model"]).spec
    assert (spec.library, spec.library_init) == expected
    assert "cloudburst" not in spec.signature


def test_the_originals_client_gives_both_the_library() -> None:
    spec = pack(
        cell("class M:\n def __init__(self, lib): ...\n def run(self, lib, x): ...")["M"], library=True
    ).spec
    assert (spec.library, spec.library_init, spec.signature) == (True, True, "(x)")
    bare = pack(cell("class M:\n def run(self, lib): ...")["M"], library=True).spec
    assert (bare.library, bare.library_init) == (True, False)


def test_init_arguments_must_fit() -> None:
    with pytest.raises(TypeError, match=r"class 'Model': __init__\(base, scale=1\) .*missing .*'base'"):
        pack(cell(MODEL)["Model"], init=((), {}))
    with pytest.raises(TypeError, match="function 'f' is not a class"):
        pack(cell("def f(): ...")["f"], init=((), {}))


def test_a_class_without_run_is_refused() -> None:
    with pytest.raises(TypeError, match="class 'Empty' has no method run"):
        pack(cell("class Empty: ...")["Empty"])


# ---------------------------------------------------------------- what can be a cloud function


def test_builtins_partials_methods_and_callable_objects(tmp_path: Path) -> None:
    names = cell(
        """
        class Adder:
            def __init__(self, k): self.k = k
            def __call__(self, x): return x + self.k
            def add(self, x): return x + 2 * self.k
        def scale(k, x): return k * x
        """
    )
    adder = names["Adder"](5)
    assert pack(math.sqrt).spec.name == "sqrt"
    assert elsewhere(pack(math.sqrt).spec.payload, "f(9)", tmp_path) == 3
    assert elsewhere(pack(functools.partial(names["scale"], 4)).spec.payload, "f(5)", tmp_path) == 20
    assert pack(functools.partial(names["scale"], 4)).spec.name == "scale"
    assert elsewhere(pack(adder, "adder").spec.payload, "f(1)", tmp_path) == 6
    assert elsewhere(pack(adder.add).spec.payload, "f(1)", tmp_path) == 11
    assert elsewhere(pack(lambda x: x + 1, "inc").spec.payload, "f(1)", tmp_path) == 2
    assert pack(np.sin).spec.name == "sin"


def test_async_functions_are_accepted(tmp_path: Path) -> None:
    payload = pack(cell("async def f(x): return x + 1")["f"]).spec.payload
    assert elsewhere(payload, "__import__('asyncio').run(f(1))", tmp_path) == 2


@pytest.mark.parametrize("text", ["def f(): yield 1", "async def f(): yield 1",
                                  "class f:\n def run(self): yield 1",
                                  "class C:\n def __call__(self): yield 1\nf = C()"])  # fmt: skip
def test_generators_are_refused(text: str) -> None:
    with pytest.raises(TypeError, match=r"is a generator.*return a list"):
        pack(cell(text)["f"], "f")


def test_what_is_not_callable_or_has_no_name_is_refused() -> None:
    with pytest.raises(TypeError, match="must be callable; int is not: 5"):
        pack(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be callable; int is not: 5"):
        pack(5, "five")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a lambda has no name of its own"):
        pack(lambda: 1)
    with pytest.raises(
        TypeError, match=r"type test_packaging\.\S*Silent has no name|Silent has no name of its own"
    ):
        pack(Silent())
    for name in ("", 3, "x" * 256):
        with pytest.raises(InvalidName):
            pack(len, name)  # type: ignore[arg-type]


class Silent:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [({"retries": -1}, ValueError, "retries must be 0 or more, not -1"),
     ({"retries": 1.5}, TypeError, "retries must be a whole number"),
     ({"retries": True}, TypeError, "retries must be a whole number"),
     ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds"),
     ({"timeout": math.nan}, ValueError, "timeout must be more than 0 seconds"),
     ({"timeout": "1"}, TypeError, "timeout must be a number of seconds"),
     ({"gpu": 1}, TypeError, "gpu must be True or False"),
     ({"batching": None}, TypeError, "batching must be True or False")],
)  # fmt: skip
def test_options_are_checked(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        pack(len, **options)


# ---------------------------------------------------------------- cloud functions inside cloud functions


def test_functions_of_one_cell_may_call_each_other(tmp_path: Path) -> None:
    names = cell(
        """
        def even(n): return True if n == 0 else odd(n - 1)
        def odd(n): return False if n == 0 else even(n - 1)
        """
    )
    even = names["even"]
    names.update(even=Cloud(names["even"]), odd=Cloud(names["odd"]))
    packed = pack(even)
    assert elsewhere(packed.spec.payload, "[f(10), f(7)]", tmp_path) == [True, False]
    assert (packed.missing, [found.name for found in packed.captured]) == ([], ["odd"])
    assert pack(names["odd"]).spec.name == "odd"
    assert elsewhere(pack(names["odd"]).spec.payload, "[f(10), f(7)]", tmp_path) == [False, True]


def test_a_cloud_function_may_call_itself(tmp_path: Path) -> None:
    names = cell("def fact(n): return 1 if n < 2 else n * fact(n - 1)")
    names["fact"] = Cloud(names["fact"])
    packed = pack(names["fact"])
    assert packed.missing == []
    assert elsewhere(packed.spec.payload, "f(5)", tmp_path) == 120


def test_a_captured_stateful_function_is_built_once_and_run(tmp_path: Path) -> None:
    names = cell(
        MODEL
        + """
    def serve(x): return model(x) + model(x), model.__class__.__name__
    """
    )
    names["model"] = Cloud(names["Model"], init=((10,), {"scale": 2}))
    assert elsewhere(pack(names["serve"]).spec.payload, "f(1)", tmp_path) == (24, "InPlace")


def test_a_cloud_function_without_its_code_is_refused() -> None:
    names = cell("def f(x): return g(x)", g=Cloud(None, "g"))
    with pytest.raises(SerializationError, match=r"function 'f' captures `g`: .*'g' was looked up by name"):
        pack(names["f"])
    with pytest.raises(SerializationError, match=r"'g' was looked up by name"):
        pack(names["g"])


def test_a_function_under_lru_cache_travels(tmp_path: Path) -> None:
    names = cell(
        """
        import functools
        @functools.lru_cache(maxsize=7)
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        def f(n): return fib(n), fib.cache_info().maxsize
        """
    )
    assert elsewhere(pack(names["f"]).spec.payload, "f(80)", tmp_path) == (23416728348467685, 7)
    assert elsewhere(pack(names["fib"]).spec.payload, "f(80)", tmp_path) == 23416728348467685


def test_forward_references_are_told() -> None:
    names = cell("def f(x):\n global made\n made = later(x)\n return [made, print, x.later2, undefined]")
    assert pack(names["f"]).missing == ["later", "undefined"]


def test_forward_references_of_helpers_and_methods_are_told() -> None:
    names = cell(
        "def helper(): return gone()\ndef f(): return helper()\nclass M:\n def run(self): return lost()"
    )
    assert pack(names["f"]).missing == ["gone"]
    assert pack(names["M"]).missing == ["lost"]


def test_a_name_that_still_means_the_version_before_counts_as_missing() -> None:
    text = "def fact(n): return n and n * fact(n - 1)"
    old = cell(text)["fact"]
    names = cell(text)
    new = names["fact"]
    names["fact"] = Cloud(old)
    assert pack(new).missing == ["fact"]
    names["fact"] = Cloud(new)
    assert pack(new).missing == []


# ---------------------------------------------------------------- what cannot travel


def refused(target: Any, **options: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        pack(target, **options)
    return str(caught.value)


def test_a_captured_variable_that_cannot_travel_is_named() -> None:
    names = cell("def f(): return lock", lock=threading.Lock())
    assert refused(names["f"]) == (
        "function 'f' captures `lock`, of type _thread.lock, which cannot be sent to another process: "
        "create it inside the function"
    )


def test_the_part_that_cannot_travel_is_named() -> None:
    names = cell("def f(): return config", config={"a": [1, threading.Lock()]})
    assert "captures `config['a'][1]`, of type _thread.lock," in refused(names["f"])


def test_the_attribute_of_the_same_name_is_not_blamed() -> None:
    names = cell("def f(x): return x.lock, gen", lock=threading.Lock(), gen=(i for i in [1]))
    assert "captures `gen`, of type generator," in refused(names["f"])


def test_the_way_to_the_variable_is_told() -> None:
    names = cell("def g(): return lock\ndef f(): return h()", lock=threading.Lock())
    names["h"] = Cloud(names["g"], "h")
    assert "function 'f' captures `lock` (by way of `h`), of type _thread.lock" in refused(names["f"])


@pytest.mark.parametrize(
    ("text", "told"),
    [("def f(x=lock): ...", "function 'f' captures `x`, of type _thread.lock"),
     ("def f(*, x=lock): ...", "function 'f' captures `x`, of type _thread.lock"),
     ("def make(k):\n def f(): return k\n return f\nf = make(lock)", "function 'f' captures `k`"),
     ("class f:\n guard = lock\n def run(self): ...", "class 'f' captures `f.guard`, of type _thread.lock"),
     ("class f:\n @property\n def p(self): return lock\n def run(self): ...", "class 'f' captures `lock`"),
     ("import functools\nf = functools.partial(print, lock)", "function 'f' captures `args[0]`"),
     ("class C:\n def __call__(self): ...\nf = C()\nf.held = lock", "function 'f' captures `self.held`")],
)  # fmt: skip
def test_wherever_it_hides(text: str, told: str) -> None:
    assert told in refused(cell(text, lock=threading.Lock())["f"], name="f")


def test_an_init_argument_that_cannot_travel_is_named() -> None:
    text = refused(cell(MODEL)["Model"], init=((1,), {"scale": threading.Lock()}))
    assert text.startswith("class 'Model' is bound with `scale`, of type _thread.lock, which cannot")


def test_a_variable_nested_too_deeply_is_named() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    text = refused(cell("def f(): return deep", deep=deep)["f"])
    assert text.startswith("function 'f' captures `deep`, of type list, which is nested too deeply")
    while deep:  # taken apart by hand: the interpreter would recurse
        deep = deep.pop()


# ---------------------------------------------------------------- large variables


def test_a_large_variable_is_reported_with_its_size(tmp_path: Path) -> None:
    names = cell("def helper(): return table.sum()\ndef f(): return helper()", table=np.zeros(250_000))
    with pytest.warns(CapturedLargeValue) as caught:
        packed = pack(names["f"])
    assert [str(warning.message) for warning in caught] == [
        "function 'f' captures `table`, of type numpy.ndarray, 2.0 MB, which travels with every "
        "registration: put it in the store, cb.put('table', table), and pass cb.ref('table')"
    ]
    assert caught[0].filename == __file__
    assert [(found.name, found.nbytes > 2_000_000) for found in packed.captured] == [
        ("helper", False),
        ("table", True),
    ]


def test_a_small_variable_is_not_reported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = pack(cell("def f(): return table", table=np.zeros(1000))["f"])
    assert 8000 < packed.captured[0].nbytes < 9000


# ---------------------------------------------------------------- modules beside the notebook


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


# ---------------------------------------------------------------- the context


def test_the_context_is_one_object_while_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = pack(len).spec.context
    assert pack(abs).spec.context is first
    assert (first.cwd, first.environ["PATH"]) == (str(Path.cwd()), os.environ["PATH"])
    monkeypatch.setenv("SOME_SETTING", "1")
    monkeypatch.syspath_prepend("")
    monkeypatch.chdir(tmp_path)
    changed = pack(abs).spec.context
    assert (changed.cwd, changed.environ["SOME_SETTING"]) == (str(tmp_path), "1")
    assert changed.sys_path[0] == str(tmp_path)
    assert "SOME_SETTING" not in first.environ


def test_an_environment_that_is_no_text_does_not_stop_a_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "ODD", os.fsdecode(b"\xff"))
    spec = pack(len).spec
    assert "ODD" not in spec.context.environ
    assert messages.pack(messages.Register(1, spec))


def test_a_survey_skips_what_is_imported_on_the_other_side() -> None:
    assert survey(textwrap.dedent) == ([], [])
