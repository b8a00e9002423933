"""``%%cloudburst``: running, registering, binding, showing; and what happens when the cell fails."""

import inspect
import traceback

import pytest
from IPython.core.error import UsageError

from cloudburst_kernel import client
from cloudburst_kernel.show import Entry, Registered
from cloudburst_runtime.errors import SerializationError


def test_definitions_become_cloud_functions_and_are_shown(run, shell, cb):
    cell = "%%cloudburst\ndef square(x):\n    return x * x\nclass Model:\n    def run(self, x): return x\n"
    shown, error = run(cell)
    assert error is None
    assert shown.strip() == "square v1, Model v1"
    square = shell.user_ns["square"]
    assert square(3) == ("future", "square", (3,), {})
    assert square.raw(3) == 9
    assert square.source == "def square(x):\n    return x * x"
    assert run(cell)[0].strip() == "square v2, Model v2"


def test_options_reach_the_client(run, cb):
    run("%%cloudburst --name 'my f' --retries 3 --timeout 1.5 --batching --gpu\ndef f(): ...\n")
    assert cb.registered["my f"].options == {"retries": 3, "timeout": 1.5, "batching": True, "gpu": True}


def test_variables_in_the_line_are_not_expanded(run, shell):
    run("x = 1")
    run("%%cloudburst f(a, b={'k': '{x} $x'}) -> b\nb = b\n")
    assert shell.user_ns["f"].raw(0) == {"k": "{x} $x"}


def test_the_last_expression_is_displayed_and_kept(run, shell):
    shown, error = run("%%cloudburst\ndef f(): return 1\nf() + 41")
    assert error is None
    assert shown.split("\n")[0] == "Out[1]: 42"
    assert shown.strip().endswith("f v1")
    assert shell.user_ns["_"] == 42
    assert "42" not in run("%%cloudburst\ndef f(): return 1\nf() + 41;")[0]


def test_a_syntax_error_is_shown_exactly_as_ipython_shows_it(run, shell, cb):
    broken = "def f(:\n    pass\n"
    plain, plain_error = run("\n" + "x = 1\n" + broken)
    shown, error = run("%%cloudburst\n" + "x = 1\n" + broken)
    assert isinstance(error, SyntaxError)
    assert shown.replace("Cell In[2], line 3", "Cell In[1], line 2") == plain
    assert type(error) is type(plain_error)
    assert cb.registered == {}


def test_an_error_at_compile_time_is_shown_once_without_the_magics_frames(run, cb):
    shown, error = run("%%cloudburst\ndef f(): ...\nreturn 1\n")
    assert isinstance(error, SyntaxError)
    assert shown.count("outside function") == 1
    assert "run_cell_magic" not in shown
    assert cb.registered == {}


def test_an_exception_shows_normally_and_nothing_is_registered(run, shell, cb):
    shown, error = run("%%cloudburst\ndef f():\n    return 1 / 0\n\nf()\n")
    assert isinstance(error, ZeroDivisionError)
    assert shown.count("ZeroDivisionError: division by zero") == 1
    assert "Cell In[1], line 5" in shown
    assert "----> 3     return 1 / 0" in shown
    assert "run_cell_magic" not in shown
    assert cb.registered == {}
    assert inspect.isfunction(shell.user_ns["f"])
    assert not shell.last_execution_result.success


def test_the_shell_shows_later_errors_as_before(run, shell):
    run("%%cloudburst\n1 / 0\n")
    assert "showtraceback" not in vars(shell)
    assert "NameError" in run("missing")[0]
    with pytest.raises(ZeroDivisionError):  # caught before IPython saw it: the next error is another
        shell.run_cell_magic("cloudburst", "", "1 / 0\n")
    assert "NameError" in run("missing")[0]
    assert "showtraceback" not in vars(shell)


def test_system_exit_in_the_cell_registers_nothing(run, cb):
    with pytest.warns(UserWarning, match="To exit"):
        _, error = run("%%cloudburst\ndef f(): ...\nraise SystemExit(3)\n")
    assert isinstance(error, SystemExit)
    assert cb.registered == {}


def test_functions_of_a_cell_are_registered_before_any_name_is_bound(run, shell, cb):
    seen = {}
    real = cb.function
    cb.function = lambda obj, **how: (
        seen.setdefault(obj.__name__, [inspect.isfunction(shell.user_ns[name]) for name in ("even", "odd")])
        and real(obj, **how)
    )
    run("%%cloudburst\ndef even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\n")
    assert seen == {"even": [True, True], "odd": [True, True]}
    assert [shell.user_ns[name].version for name in ("even", "odd")] == [1, 1]


def test_a_decorated_def_is_not_registered_twice(run, shell, cb):
    shell.user_ns["cb"] = cb
    shown, _ = run("%%cloudburst --retries 5\n@cb.function\ndef f(): ...\ndef g(): ...\n")
    assert shown.strip() == "f v1, g v1"
    assert cb.registered["f"].options["retries"] == 1
    assert cb.registered["g"].options["retries"] == 5


def test_other_decorators_are_applied_first(run, cb):
    run("%%cloudburst\nimport functools\n@functools.cache\ndef f(x): return [x]\n")
    assert cb.registered["f"].raw(1) is cb.registered["f"].raw(1)


def test_a_class_that_needs_arguments_waits_for_bind(run, shell, cb):
    shown, _ = run("%%cloudburst\nclass Model:\n    def __init__(self, path): ...\n    def run(self): ...\n")
    assert shown.strip() == "Model: call Model.bind(...)"
    assert client.is_handle(shell.user_ns["Model"])
    assert cb.registered == {}


def test_a_name_that_the_cell_gave_to_something_else_is_left_alone(run, shell, cb):
    shown, error = run("%%cloudburst\ndef f(): ...\ndef g(): ...\nf = 3\ndel g\ndef h(): ...\n")
    assert (error, shown.strip()) == (None, "h v1")
    assert shell.user_ns["f"] == 3
    assert "g" not in shell.user_ns


def test_a_cell_that_defines_nothing_says_so(run):
    assert "nothing registered" in run("%%cloudburst\n# only a comment\n")[0]
    assert "nothing registered" in run("%%cloudburst\nx = lambda: 1\n")[0]


def test_what_was_registered_before_a_failure_is_bound(run, shell, cb):
    cb.refused = "g"
    shown, error = run("%%cloudburst\ndef f(): ...\ndef g(): ...\n")
    assert isinstance(error, SerializationError)
    assert "variable 'lock' of f" in shown
    assert client.is_handle(shell.user_ns["f"])
    assert inspect.isfunction(shell.user_ns["g"])


def test_the_source_is_found_by_inspect_and_tracebacks(run, shell):
    run("%%cloudburst --retries 2\n\ndef f(x):\n    '''Doc.'''\n    return 1 / x\n")
    raw = shell.user_ns["f"].raw
    assert inspect.getsource(raw) == "def f(x):\n    '''Doc.'''\n    return 1 / x\n"
    assert raw.__code__.co_firstlineno == 3
    with pytest.raises(ZeroDivisionError) as caught:
        raw(0)
    assert traceback.extract_tb(caught.tb)[-1].line == "return 1 / x"


def test_line_magics_and_future_imports_work_in_the_cell(run, shell):
    _, error = run(
        "%%cloudburst\nfrom __future__ import annotations\n%alias_magic tt time\ndef f(x: Nope): ...\n"
    )
    assert error is None
    assert shell.user_ns["f"].raw.__annotations__ == {"x": "Nope"}
    assert run("def plain(x: Nope): ...")[1] is None  # as in any cell, the future stays


def test_a_magic_above_and_a_magic_below(run, shell):
    assert run("%%capture\n%%cloudburst\ndef f(): return 1\n")[1] is None
    assert shell.user_ns["f"].version == 1
    shown, error = run("%%cloudburst\n%%timeit -n1 -r1\ndef g(): ...\n")
    assert error is None
    assert "nothing registered" in shown


def test_body_form_registers_the_cell_as_a_function(run, shell, cb):
    shown, error = run(
        "%%cloudburst score(x, y=1) -> (total, z) --gpu\nimport math\nz = x ** 2\ntotal = z + y\n"
    )
    assert (error, shown.strip()) == (None, "score v1")
    score = shell.user_ns["score"]
    assert score.raw(3) == (10, 9)
    assert score.options["gpu"]
    assert "z" not in shell.user_ns
    assert score.source.startswith("def score(x, y=1):\n    import math\n")


def test_a_failing_body_shows_the_cells_lines(run, shell, capsys):
    run("%%cloudburst f(x) -> y\n# a comment\ny = 1 / x\n")
    shown, error = run("f.raw(0)")
    assert isinstance(error, ZeroDivisionError)
    assert "Cell In[1], line 3, in f(x)" in shown
    assert "----> 3     y = 1 / x" in shown


def test_a_refused_body_is_shown_like_a_syntax_error_at_its_line(run, cb):
    shown, error = run("%%cloudburst f(x) -> y\nif x:\n    return 2\n")
    assert isinstance(error, SyntaxError)
    assert "Cell In[1], line 3\n    return 2" in shown
    assert "CaptureError: in body form the result is the variable after ->" in shown
    assert "the cell never assigns 'y'" in run("%%cloudburst f(x) -> y\nz = 1\n")[0]
    assert "cannot await" in run("%%cloudburst\nawait x\n")[0]
    assert cb.registered == {}


def test_a_bad_line_is_a_usage_error_and_the_cell_does_not_run(run, shell, capsys):
    result = shell.run_cell("%%cloudburst --retry 3\nran = True\ndef f(): ...\n")
    assert isinstance(result.error_in_exec, UsageError)
    assert "ran" not in shell.user_ns
    message = capsys.readouterr().err
    assert "unknown option --retry; the options are --name, --retries" in message
    assert "usage: %%cloudburst [--name N]" in message
    _, error = run("%%cloudburst --name x\ndef f(): ...\ndef g(): ...\n")
    assert "can name one function" in str(error)


def test_registered_html_is_escaped_and_has_no_script():
    html = Registered((Entry("f<", 1, "function", "(a='<b>')"), Entry("Model", 0)))._repr_html_()
    assert "f&lt;</b> v1" in html
    assert "&lt;b&gt;" in html
    assert "<code>Model.bind(...)</code>" in html
    assert "script" not in html
