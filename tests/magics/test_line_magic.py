"""``%cloudburst``: each subcommand, and each way to get it wrong."""

import pytest
from IPython.core.error import UsageError

from cloudburst_kernel import commands, magics
from cloudburst_kernel.show import NAMES_SHOWN_MAX, Names
from cloudburst_runtime import errors


def test_up_down_status_connect(run, cb, shell):
    assert "no runtime is running" in run("%cloudburst status")[0]
    assert "no runtime is running" in run("%cloudburst down")[0]
    assert "status: 2 executors" in run("%cloudburst up --executors 2:4 --state-dir '/tmp/my state'")[0]
    assert "status: 2 executors" in run("%cloudburst status")[0]
    assert "stopped" in run("%cloudburst down")[0]
    assert not cb.is_running
    run("%cloudburst up")
    run("%cloudburst up --executors=3")
    run("%cloudburst connect tcp://host:1")
    assert cb.up_calls == [((2, 4), "/tmp/my state"), (None, None), (3, None), ((), "tcp://host:1")]


def test_up_takes_a_seed(run, cb):
    run("%cloudburst up --seed -3")
    assert cb.up_calls == [(None, None, -3)]
    assert "--seed takes a whole number, not 'x'" in str(run("%cloudburst up --seed x"))


def test_the_state_dir_may_start_at_home(run, cb, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    run("%cloudburst up --state-dir ~/state")
    assert cb.up_calls == [(None, "/home/me/state")]


def test_list_and_keys(run, cb):
    for command in ("list", "keys"):
        assert "no runtime is running" in run(f"%cloudburst {command}")[0]
    run("%%cloudburst\ndef alpha(): ...\ndef beta(): ...\n")
    run("%cloudburst dag a_dag alpha >> beta")
    assert run("%cloudburst list")[0].strip().endswith("functions: alpha, beta\ndags: a_dag")
    assert run("%cloudburst list a")[0].strip().endswith("functions: alpha\ndags: a_dag")
    assert run("%cloudburst keys a")[0].strip().endswith("'store: a1, a2'")


def test_long_lists_are_cut_and_say_so():
    names = Names({"keys": [f"<{number}>" for number in range(NAMES_SHOWN_MAX + 7)]})
    assert repr(names).endswith(f"<{NAMES_SHOWN_MAX - 1}>, … and 7 more")
    assert "&lt;1&gt;" in names._repr_html_()


def test_dag_is_built_from_the_notebooks_names_then_registered_ones(run, shell, cb):
    run("%%cloudburst\ndef a(): ...\ndef b(): ...\ndef c(): ...\n")
    shell.user_ns["first"] = shell.user_ns.pop("a")
    shell.user_ns["c"] = "something else"
    cb.function(lambda: 0, name="my d")
    shown, error = run("%cloudburst dag pipe first >> [b, c] >> 'my d'")
    assert (error, shown.strip()) == (None, "Out[2]: pipe")
    assert shell.user_ns["pipe"] is cb.dag_exprs["pipe"]


def test_a_dag_does_not_hide_a_function_of_its_name(run, shell):
    run("%%cloudburst\ndef a(): ...\ndef b(): ...\n")
    function = shell.user_ns["a"]
    assert run("%cloudburst dag a a >> b")[1] is None
    assert shell.user_ns["a"] is function
    assert run("made = %cloudburst dag 'two words' a >> b")[1] is None
    assert shell.user_ns["made"].name == "two words"
    assert "two words" not in shell.user_ns


def test_dag_expressions_are_evaluated_left_to_right():
    _, expression = commands.parse_dag('pipe a >> [b, "c d"] >> e')
    built = commands.build_dag(expression, lambda name: _Path(name))
    assert str(built) == "((a>>[b c d])>>e)"


class _Path:
    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text

    def __rshift__(self, other):
        shown = f"[{' '.join(map(str, other))}]" if isinstance(other, list) else other
        return _Path(f"({self}>>{shown})")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dag", "dag needs a name"),
        ("dag pipe", "DAG 'pipe' needs an expression"),
        ("dag pipe f()", "only names, lists and >> may stand in a DAG, not 'f\\(\\)'"),
        ("dag pipe a.b >> c", "only names, lists and >> may stand in a DAG, not 'a.b'"),
        ("dag pipe a << b", "only names, lists and >>"),
        ("dag pipe a >> 3", "only names, lists and >>"),
        ("dag pipe a >>", "is no expression of names"),
        ("dag pipe [f] >> [f]", "a list cannot feed a list"),
        ("dag pipe f >> nowhere", "no function 'nowhere' is registered"),
        ("dag pipe f >> squar", "did you mean 'square'"),
        ("dag pipe f >> number", "'number' is a int here, and no function of that name"),
        ("dag 'pipe f", "quotes are empty or do not close"),
    ],
)
def test_a_bad_dag_is_a_usage_error(run, shell, cb, line, message):
    run("%%cloudburst\ndef f(): ...\ndef square(): ...\n")
    shell.user_ns["number"] = 3
    with pytest.raises(UsageError, match=message) as caught:
        shell.run_line_magic("cloudburst", line)
    assert "usage: %cloudburst dag NAME a >> [b, c] >> d" in str(caught.value)
    assert cb.dag_exprs == {}


def test_a_dag_expression_evaluates_no_code(shell, cb, usage_error):
    shell.user_ns["ran"] = []
    assert "only names" in usage_error("dag pipe [ran.append(1)] >> ran")
    assert shell.user_ns["ran"] == []


@pytest.mark.parametrize(
    ("arguments", "args", "kwargs"),
    [
        ("", (), {}),
        ("1 2", (1, 2), {}),
        ("1 -2", (1, -2), {}),
        ("1, -2", (1, -2), {}),
        ("n + 1", (4,), {}),
        ("n+1 n", (4, 3), {}),
        ("[1, 2] 'a  b' k=n", ([1, 2], "a  b"), {"k": 3}),
        ("[n * each for each in range(3)]", ([0, 3, 6],), {}),
        ("f'{n + 1}' {'a': 1}", ("4", {"a": 1}), {}),
        ('f"{{n}} {n}" 1', ("{n} 3", 1), {}),
        ("'a' 'b'", ("a", "b"), {}),
        ("not n", (False,), {}),
        ("*pair **more", (1, 2), {"z": 0}),
        ("k = 3", (), {"k": 3}),
        ("(n,  2) k=(1, 2)", ((3, 2),), {"k": (1, 2)}),
    ],
)
def test_call_evaluates_its_arguments_in_the_notebook(run, shell, arguments, args, kwargs):
    shell.user_ns.update(n=3, pair=(1, 2), more={"z": 0})
    run("%%cloudburst\ndef f(): ...\n")
    assert shell.run_line_magic("cloudburst", f"call f {arguments}") == ("future", "f", args, kwargs)


def test_call_finds_registered_functions_and_dags(run, shell, cb):
    run("%%cloudburst\ndef f(): ...\n")
    cb.function(lambda: 0, name="my f")
    run("%cloudburst dag pipe f")
    for name in ("f", "pipe"):
        shell.user_ns.pop(name)
    called = [shell.run_line_magic("cloudburst", f"call {name} 1")[1] for name in ("f", "'my f'", "pipe")]
    assert called == ["f", "my f", "pipe"]


def test_call_that_cannot_be_made_is_a_usage_error(run, shell, usage_error):
    run("%%cloudburst\ndef score(): ...\n")
    assert "did you mean 'score'?" in usage_error("call scroe 1")
    assert "usage: %cloudburst call NAME" in usage_error("call scroe 1")
    assert "call needs a name" in usage_error("call")
    assert "positional argument follows keyword argument" in usage_error("call score x=1 2")
    for text in ("(1", "1) + (2", "1)+f(2", "a b +", "'open", "1, 2 3"):
        assert "are no Python expressions" in usage_error(f"call score {text}")


def test_an_address_that_is_none_is_said_without_the_insides(run, cb, monkeypatch):
    def looks_for_it(address):
        raise errors.RuntimeUnavailable(f"{address!r} is no address")

    monkeypatch.setattr(cb, "connect", looks_for_it)
    monkeypatch.setattr(cb, "errors", errors, raising=False)
    shown, error = run("%cloudburst connect nowhere")
    assert isinstance(error, errors.RuntimeUnavailable)
    assert "'nowhere' is no address" in shown
    assert "looks_for_it" not in shown


def test_an_error_in_an_argument_is_the_users_own(run):
    run("%%cloudburst\ndef f(): ...\n")
    shown, error = run("%cloudburst call f missing")
    assert isinstance(error, NameError)
    assert "name 'missing' is not defined" in shown


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "say what to do"),
        ("statsu", "there is no subcommand 'statsu'; did you mean 'status'"),
        ("frobnicate", "there is no subcommand 'frobnicate'\n"),
        ("plot", "plot takes a name"),
        ("plot f g h", "got 3 words"),
        ("plot f --fast", "plot has no option --fast"),
        ("up --executor 2", "did you mean --executors"),
        ("up 3", "up does not know '3'"),
        ("up --executors", "--executors needs a value"),
        ("up --executors --state-dir x", "--executors needs a value"),
        ("up --executors many", "a number, or two as MIN:MAX, not 'many'"),
        ("up --executors 1:2:3", "a number, or two as MIN:MAX"),
        ("up --executors 0", "numbers from 1 to"),
        ("up --executors ²", "a number, or two"),
        ("up --executors 4:2", "the minimum 4 is over the maximum 2"),
        ("up --state-dir 'x", "cannot be read"),
        ("down now", "down takes no arguments"),
        ("status all", "status takes no arguments"),
        ("connect", "connect needs an argument"),
        ("connect a b", "connect takes one argument, and got 2"),
        ("list a b", "list takes one argument"),
        ("keys a b", "keys takes one argument"),
    ],
)
def test_bad_usage_is_explained_and_starts_nothing(shell, cb, line, message, usage_error):
    assert message in usage_error(line)
    assert not cb.is_running


def test_usage_lines_cover_every_subcommand(shell, usage_error):
    message = usage_error("")
    for command, usage in commands.USAGES.items():
        assert usage in message
        assert hasattr(magics.CloudburstMagics, f"_{command}")
