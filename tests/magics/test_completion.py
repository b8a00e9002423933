"""Tab completion, help, and loading of the magics."""

from IPython.core.completer import provisionalcompleter

import cloudburst_nb
from cloudburst_kernel import client, commands, magics
from cloudburst_kernel.completion import complete
from cloudburst_kernel.line import OPTIONS


def completions(shell, line):
    with provisionalcompleter():
        return [each.text for each in shell.Completer.completions(line, len(line))]


def test_tab_completes_subcommands_options_and_names_in_the_shell(run, shell):
    run("%%cloudburst\ndef alpha(): ...\ndef almost(): ...\n")
    run("%cloudburst dag also alpha >> almost")
    assert "status" in completions(shell, "%cloudburst st")
    assert "--executors" in completions(shell, "%cloudburst up --e")
    assert {"alpha", "almost", "also"} <= set(completions(shell, "%cloudburst call al"))
    assert {"alpha", "almost"} <= set(completions(shell, "%cloudburst dag pipe alpha >> [al"))
    assert "--retries" in completions(shell, "%%cloudburst --gpu --r")


def test_what_the_magics_offer_comes_alone_and_in_their_order(run, shell):
    run("%%cloudburst\ndef alpha(): ...\ndef Almost(): ...\n")
    assert completions(shell, "%cloudburst ") == list(commands.USAGES)
    assert completions(shell, "x = 1\n  %cloudburst s") == ["status"]
    assert completions(shell, "%cloudburst up --") == list(commands.UP_OPTIONS)
    assert completions(shell, "%%cloudburst --") == list(OPTIONS)
    assert completions(shell, "%cloudburst call ") == ["Almost", "alpha"]
    for expression in ("alpha >> [al", "alpha>>al", "[Almost,al"):
        assert completions(shell, f"%cloudburst dag pipe {expression}") == ["alpha"]


def test_python_is_completed_as_ever_where_the_magics_have_nothing_to_say(shell, tmp_path, monkeypatch):
    (tmp_path / "kept").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "format" in completions(shell, "%%cloudburst --gpu\nfor")
    assert "%cloudburst" in completions(shell, "%cloudb")
    assert completions(shell, "%cloudburst up --state-dir ke") == ["kept/"]


def test_completion_knows_where_it_stands(cb):
    assert complete("%cloudburst ", {}) == list(commands.USAGES)
    assert complete("%cloudburst dag pi", {}) == []
    assert complete("%cloudburst up --executors ", {}) == []
    assert complete("%cloudburst up --executors 2 ", {}) == ["--state-dir", "--seed"]
    assert complete("%%cloudburst --name ", {}) == []
    assert complete("%%cloudburst --gpu ", {}) == ["--name", "--retries", "--timeout", "--batching"]
    assert complete("%cloudburst down ", {}) == []


def test_completion_never_starts_a_runtime_nor_raises(cb, make_function):
    mine = {"here": make_function("here", 1, None), "_hidden": make_function("h", 1, None), "x": 3}
    for line in ("call ", "list ", "dag pipe ", "keys ", "up ", "status "):
        complete(f"%cloudburst {line}", mine)
    assert not cb.is_running
    assert complete("%cloudburst call ", mine) == ["here"]
    cb.is_running = True
    assert complete("%cloudburst keys ", mine) == ["a1", "a2", "b"]
    cb.functions = lambda: 1 / 0
    assert complete("%cloudburst call ", mine) == ["here"]


def test_asking_whether_a_value_is_a_handle_runs_none_of_its_code(make_function):
    class Touchy:
        def __getattr__(self, name):
            raise RuntimeError(name)

    assert not client.is_handle(Touchy())
    assert not client.is_handle(make_function)
    assert client.is_handle(make_function("f", 1, None))


def test_help_shows_the_docstrings(shell):
    line = shell.object_inspect_text("%cloudburst")
    cell = shell.object_inspect_text("%%cloudburst")
    assert "%cloudburst dag NAME a >> [b, c] >> d" in line
    assert "--retries N   run again so often" in cell


def test_the_extension_can_be_unloaded_and_loaded_again(shell):
    for _ in range(2):
        magics.unload_ipython_extension(shell)
        magics.load_ipython_extension(shell)
    assert completions(shell, "%cloudburst st").count("status") == 1
    magics.unload_ipython_extension(shell)
    assert shell.find_line_magic("cloudburst") is None
    assert shell.find_cell_magic("cloudburst") is None
    assert "status" not in completions(shell, "%cloudburst st")


def test_names_in_quotes_are_completed_by_a_real_shell(shell, cb):
    cb.is_running = True
    shell.user_ns.update(cb=cloudburst_nb, other={})
    cb.function(lambda: 0, name="square")
    cb.dag("pipe", ["square"])

    def completed(text):
        with provisionalcompleter():
            return [(each.text, each.start) for each in shell.Completer.completions(text, len(text))]

    assert completed("x = cb.get_function('sq") == [("square", 21)]
    assert completed('cb.get_dag("') == [("pipe", 12)]
    assert completed('f(cb.ref( "a') == [("a1", 11), ("a2", 11)]
    assert ("a1", 11) not in completed("other.get('a")
    cb.keys = lambda: 1 / 0
    assert ("a1", 11) not in completed("cb.delete('a")
    magics.unload_ipython_extension(shell)
    assert ("square", 17) not in completed("cb.get_function('sq")
