"""Cell capture: which definitions are found, what text is run, and which cells are refused."""

import ast
import inspect
import linecache

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from cloudburst_kernel.capture import Captured, CaptureError, capture
from cloudburst_kernel.line import LineError, Options, parse_line


def names(cell, line="", **how):
    return [function.name for function in capture(cell, line, **how).functions]


def one(cell, line="", **how) -> Captured:
    (function,) = capture(cell, line, **how).functions
    return function


def run(cell, line="", namespace=None):
    """Capture, run the text as the magic would, and return the namespace."""
    captured = capture(cell, line)
    namespace = {} if namespace is None else namespace
    exec(compile(captured.text, captured.filename, "exec"), namespace)
    return namespace


# ---------------------------------------------------------------- definitions


def test_a_def_is_found_with_its_lines_counted_from_the_magic():
    source = "def area(r, scale=1.0, *, unit: str = 'm') -> float:\n    return r"
    found = one(f"import math\n\n{source}\n\narea(2)")
    assert (found.name, found.kind) == ("area", "function")
    assert (found.first_line, found.last_line) == (4, 5)
    assert found.signature == "(r, scale=1.0, *, unit: str='m') -> float"
    assert found.source == source


def test_decorators_belong_to_the_source_even_over_several_lines():
    cell = "@first\n@second(\n    1,\n    key='x',\n)\ndef f(x):\n    return x\n"
    found = one(cell)
    assert found.source == cell.rstrip("\n")
    assert (found.first_line, found.last_line) == (2, 8)


def test_async_defs_and_unicode_names():
    cell = "async def größe(x):\n    return await x\ndef 計算(x): return x\n"
    kinds = [(each.name, each.kind) for each in capture(cell).functions]
    assert kinds == [("größe", "async function"), ("計算", "function")]


def test_only_classes_with_run_are_found():
    cell = (
        "class Plain:\n    def go(self): ...\n"
        "class Model:\n    def __init__(self, path): ...\n    def run(self, x, k=1): return x\n"
        "class Ready:\n    def __init__(self, cloudburst, path='p'): ...\n    async def run(self, x): ...\n"
        "class Faster(Model):\n    speed = 2\n"
        "class Static:\n    @staticmethod\n    def run(x): ...\n"
    )
    found = {each.name: each for each in capture(cell).functions}
    assert list(found) == ["Model", "Ready", "Faster", "Static"]
    assert {each.kind for each in found.values()} == {"class"}
    assert [each.needs_arguments for each in found.values()] == [True, False, False, False]
    assert [each.signature for each in found.values()] == ["(x, k=1)", "(x)", "", "(x)"]


@pytest.mark.parametrize(
    ("init", "needs"),
    [
        ("self", False),
        ("self, path", True),
        ("self, path=1", False),
        ("self, a, b=1", True),
        ("self, cloudburst", False),
        ("self, cloudburst, path", True),
        ("self, *, path", True),
        ("self, *, path=1", False),
        ("self, *paths, **options", False),
        ("self, a, /, b=2", True),
    ],
)
def test_a_class_needs_arguments_if_init_has_one_without_a_default(init, needs):
    cell = f"class M:\n    def __init__({init}): ...\n    def run(self): ...\n"
    assert one(cell).needs_arguments is needs


def test_what_is_not_a_statement_of_the_cell_is_left_alone():
    cell = (
        "if flag:\n    def conditional(): ...\n"
        "with x:\n    def inside(): ...\n"
        "try:\n    def tried(): ...\nexcept E: ...\n"
        "square = lambda x: x * x\n"
        "def outer():\n    def nested(): ...\n    class Inner:\n        def run(self): ...\n"
    )
    assert names(cell) == ["outer"]


def test_of_two_definitions_with_one_name_the_last_counts():
    cell = "def f(): return 1\ndef g(): ...\ndef f(a): return 2\n"
    assert [(each.name, each.signature) for each in capture(cell).functions] == [("g", "()"), ("f", "(a)")]
    assert names("def f(): ...\nclass f:\n    x = 1\n") == []


@pytest.mark.parametrize("cell", ["", "\n\n", "# only\n# comments\n", "x = 1\n", "import math\n"])
def test_a_cell_without_definitions_has_none(cell):
    assert capture(cell).functions == ()


def test_functions_of_one_cell_call_each_other_in_either_order():
    cell = (
        "def even(n): return n == 0 or odd(n - 1)\n"
        "def odd(n): return n != 0 and even(n - 1)\n"
        "def fact(n): return 1 if n < 2 else n * fact(n - 1)\n"
    )
    assert names(cell) == ["even", "odd", "fact"]
    space = run(cell)
    assert space["even"](10)
    assert space["odd"](7)
    assert space["fact"](5) == 120


def test_notebook_globals_are_seen_by_the_function():
    assert run("def scaled(x, by=factor): return x * factor + by\n", "", {"factor": 3})["scaled"](2) == 9


# ---------------------------------------------------------------- the text that is run


def test_line_one_stands_for_the_magic_so_numbers_are_the_cells():
    captured = capture("\n\ndef f():\n    raise ValueError\n", "--gpu")
    assert captured.text == "# %%cloudburst --gpu\n\n\ndef f():\n    raise ValueError\n"
    assert captured.functions[0].first_line == 4


def test_ipython_syntax_is_transformed_first_and_lines_stay():
    transform = TransformerManager().transform_cell
    cell = "\n\n%time x = 1\n!ls\nfiles = !ls\ndef f():\n    return 1\n"
    captured = capture(cell, transform=transform)
    assert captured.functions[0].first_line == 7
    assert "run_line_magic('time', 'x = 1')" in captured.text.split("\n")[3]
    with pytest.raises(SyntaxError):
        capture(cell)


def test_an_indented_cell_is_dedented_by_the_transformer():
    found = one("    def f():\n        return 1\n", transform=TransformerManager().transform_cell)
    assert found.source == "def f():\n    return 1"


def test_windows_line_ends_do_not_move_lines():
    assert one("x = 1\r\ndef f():\r\n    return 1\r\n").source == "def f():\n    return 1"


def test_a_syntax_error_is_pythons_own_on_the_right_line():
    with pytest.raises(SyntaxError) as caught:
        capture("x = 1\ndef f(:\n    pass\n", filename="<cell 7>")
    assert type(caught.value) is SyntaxError
    assert (caught.value.lineno, caught.value.filename) == (3, "<cell 7>")


def test_await_outside_a_function_is_refused_where_it_stands():
    with pytest.raises(CaptureError, match="cannot await outside a function") as caught:
        capture("x = 1\ny = [await each for each in x]\n")
    assert caught.value.lineno == 3
    with pytest.raises(CaptureError, match="cannot await"):
        capture("y = [each async for each in x]\n")
    assert names("async def f():\n    await x\n    async with y: ...\n") == ["f"]


def test_a_callable_filename_is_given_the_text():
    given = []
    captured = capture("def f(): ...\n", filename=lambda text: given.append(text) or "<name>")
    assert captured.filename == "<name>"
    assert set(given) == {captured.text}


def test_warnings_are_left_to_the_run():
    assert names("def f():\n    return '\\d'\n") == ["f"]  # pytest makes an error of any warning


# ---------------------------------------------------------------- body form


def test_the_cell_is_the_functions_body():
    space = run("import math\nlabel = math.floor(x) + y\n", "score(x, y=1) -> label")
    assert space["score"](2.5) == 3
    assert space["score"](2.5, y=2) == 4
    assert "math" not in space


def test_several_results_are_a_tuple():
    for line in ("score(x) -> (label, p)", "score(x)->label, p", "score(x) -> ( label,p ) --gpu"):
        assert run("label = x\np = x * 2\n", line)["score"](1) == (1, 2)


@pytest.mark.parametrize(
    "parameters",
    ["", "a, /, b, *, c=1", "*xs, **kw", "s=')', t='a(b'", "pair=(1, 2), f=lambda x: (x)", "a: int"],
)
def test_any_parameter_list_may_stand_on_the_line(parameters):
    found = one("y = 1\n", f"f({parameters}) -> y --retries 2")
    assert found.signature == f"({ast.unparse(ast.parse(f'def f({parameters}): ...').body[0].args)})"


def test_a_parameter_may_be_the_result():
    assert run("x += 1\n", "f(x) -> x")["f"](1) == 2
    assert run("'just a docstring'\n", "f(x) -> x")["f"](5) == 5


@pytest.mark.parametrize(
    "body",
    [
        "for y in [1]: pass",
        "with open('/dev/null') as y: pass",
        "import math as y",
        "def y(): ...",
        "[y := 1]",
        "if x:\n    y = 1",
        "global y\ny = 1",
        "(z, [y]) = x",
        "match x:\n    case y: pass",
    ],
)
def test_every_way_to_assign_counts(body):
    assert names(body, "f(x) -> y") == ["f"]


@pytest.mark.parametrize("body", ["z = 1", "# y = 1", "", "y.z = 1", "y[0] = 1", "def g():\n    y = 1", "y"])
def test_a_result_that_is_never_assigned_is_refused(body):
    with pytest.raises(CaptureError, match="never assigns 'y'") as caught:
        capture(body, "f(x) -> y", filename="<cell 3>")
    assert (caught.value.filename, caught.value.lineno) == ("<cell 3>", 1)


def test_return_and_yield_in_the_body_are_refused_with_the_reason():
    with pytest.raises(CaptureError, match="must not return") as caught:
        capture("y = 1\nif y:\n    return y\n", "f() -> y")
    assert (caught.value.lineno, caught.value.text) == (4, "    return y")
    with pytest.raises(CaptureError, match="cannot yield"):
        capture("y = 1\nyield y\n", "f() -> y")
    assert names("def g():\n    return 1\ny = g()\n", "f() -> y") == ["f"]


def test_await_in_the_body_makes_an_async_function():
    for body in ("y = await x", "async for y in x: pass", "y = [z async for z in x]"):
        found = one(body, "f(x) -> y")
        assert found.kind == "async function"
        assert found.source.startswith("async def f(x):")
    assert one("async def g():\n    await z\ny = g", "f(x) -> y").kind == "function"


def test_strings_that_span_lines_keep_their_value():
    body = 'name = 1\ny = """a\n  b\nc"""\nz = f"""<\n{name}\n>"""\nw = ("p"\n  "q")\n'
    assert run(body, "f() -> (y, z, w)")["f"]() == ("a\n  b\nc", "<\n1\n>", "pq")


def test_body_form_lines_are_the_cells_and_getsource_finds_them():
    captured = capture("y = 1\n\nif x:\n    y = 1 / 0\n", "f(x) -> y", filename="<body form>")
    linecache.cache["<body form>"] = (1, None, captured.text.splitlines(True), "<body form>")
    space = {}
    exec(compile(captured.text, captured.filename, "exec"), space)
    with pytest.raises(ZeroDivisionError) as caught:
        space["f"](True)
    assert caught.traceback[-1].lineno + 1 == 5
    assert inspect.getsource(space["f"]) == captured.text
    assert captured.functions[0].source == captured.text.rstrip("\n")


def test_a_syntax_error_in_the_body_is_pythons_own_on_its_line():
    with pytest.raises(SyntaxError) as caught:
        capture("y = 1\nz = = 2\n", "f() -> y")
    assert (type(caught.value), caught.value.lineno, caught.value.offset) == (SyntaxError, 3, 5)


# ---------------------------------------------------------------- the line


def test_options_are_read_in_any_order_and_spelling():
    expected = Options(name="my score", retries=3, timeout=1.5, batching=True, gpu=True)
    assert parse_line("--name 'my score' --retries 3 --timeout=1.5 --batching --gpu").options == expected
    assert parse_line('--gpu --retries=3 --name="my score" --timeout 1.5 --batching').options == expected
    assert parse_line("").options == Options()
    assert expected.keywords()["name"] == "my score"


def test_options_stand_before_or_after_a_signature():
    for line in ("--gpu f(x) -> y --retries 2", "f(x) -> y --gpu --retries 2", "--gpu --retries 2 f(x)->y"):
        parsed = parse_line(line)
        assert parsed.options == Options(gpu=True, retries=2)
        assert (parsed.signature.name, parsed.signature.results) == ("f", ("y",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--nam x", "unknown option --nam; the options are --name, --retries, --timeout, --batching, --gpu"),
        ("--", "unknown option --"),
        ("--name", "--name needs a value"),
        ("--name --gpu", "--name needs a value"),
        ("--name 'open", "--name needs a value"),
        ("--gpu=1", "--gpu takes no value"),
        ("--gpu --gpu", "--gpu is given twice"),
        ("--retries some", "--retries takes a whole number, 0 or more, not 'some'"),
        ("--retries -1", "--retries takes a whole number"),
        ("--retries 1.5", "--retries takes a whole number"),
        ("--timeout 0", "--timeout takes a number of seconds above 0"),
        ("--timeout inf", "--timeout takes"),
        ("--timeout nan", "--timeout takes"),
        ("square", "unexpected 'square'.*--name, --retries"),
        ("f(x) -> y g(x) -> z", "unexpected 'g\\(x\\) -> z' after the signature of 'f'"),
        ("f(x", "no signature of a function"),
        ("f(x y) -> z", "no signature of a function"),
        ("1f(x) -> y", "no signature of a function"),
        ("f(x)", "name the result: f\\(x\\) -> VARIABLE"),
        ("f(x) ->", "name the result"),
        ("f(x) -> 3", "after -> stands the variable.*not '3'"),
        ("f(x) -> list[int]", "after -> stands the variable"),
        ("f(x) -> ()", "after -> stands the variable"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(line, message):
    with pytest.raises(LineError, match=message):
        parse_line(line)


def test_a_type_after_the_arrow_is_explained():
    with pytest.raises(CaptureError, match="a variable of the cell, not a type"):
        capture("y = 1\n", "f(x) -> float")


def test_name_needs_exactly_one_function():
    assert capture("def f(): ...\n", "--name other").options.name == "other"
    with pytest.raises(LineError, match="can name one function, and the cell defines 2: f, g"):
        capture("def f(): ...\ndef g(): ...\n", "--name other")
    with pytest.raises(LineError, match="defines no function"):
        capture("x = 1\n", "--name other")


def test_names_are_compared_as_python_reads_them():
    assert run("ﬁn = 1\n", "f() -> ﬁn")["f"]() == 1
