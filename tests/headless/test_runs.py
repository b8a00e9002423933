"""Headless runs as a user sees them: the command line, exit statuses, what is shown and what is written.

The parts without a kernel are tested in this process, the rest through the real program in its own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cloudburst_nb.headless import document, parameters, private, progress
from cloudburst_nb.headless.cells import Failure, failing_line
from cloudburst_nb.headless.errors import UsageError
from cloudburst_nb.headless.kernel import surroundings
from cloudburst_nb.headless.run import Request, run
from tests.notebooks_at_hand import Program, environment, load, save, start, tagged, texts


def parts(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".part")]


# -- reading, writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("", "the file is empty"),
        ("print(1)", "it is not JSON"),
        ("[1]", "it holds a list"),
        ("{}", "it has no nbformat and cells"),
        ('{"nbformat": 4}', "it has no nbformat and cells"),
        ('{"nbformat": 9, "cells": []}', "nbformat 9 is newer"),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"id": "a"}]}',
            "not a valid notebook",
        ),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3]}', "not a valid notebook"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_what_is_no_notebook_is_refused_with_its_name_and_reason(
    tmp_path: Path, content: str | bytes | None, told: str
) -> None:
    path = tmp_path / "input.ipynb"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=told) as caught:
        document.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_notebook(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a directory"):
        document.read(tmp_path)


def test_nbformat_3_is_converted_and_said(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "input": "1 + 1", "outputs": [], "language": "python", "metadata": {}}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [cell]}]}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(old), encoding="utf-8")
    notebook, notes = document.read(path)
    assert notebook.nbformat == 4
    assert notebook.cells[0].source == "1 + 1"
    assert notes == [f"{path}: converted from nbformat 3 to 4"]


def test_cells_without_ids_get_the_same_ones_each_time(tmp_path: Path) -> None:
    cell = {
        "cell_type": "code",
        "source": ["a\n", "b"],
        "outputs": [],
        "execution_count": None,
        "metadata": {},
    }
    old = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [cell, cell]}
    path = tmp_path / "old.ipynb"
    path.write_text("\ufeff" + json.dumps(old), encoding="utf-8")
    first, second = document.read(path)[0], document.read(path)[0]
    assert [cell.id for cell in first.cells] == ["cell-0", "cell-1"] == [cell.id for cell in second.cells]
    assert first.cells[0].source == "a\nb"


def test_the_output_never_replaces_the_input_unasked(tmp_path: Path) -> None:
    path = save(tmp_path / "nb.ipynb", "1")
    (tmp_path / "link.ipynb").symlink_to(path)
    for out in (str(path), str(tmp_path / "link.ipynb")):
        with pytest.raises(UsageError, match="--inplace"):
            document.output_path(path, out, inplace=False)
    assert document.output_path(path, None, inplace=True) == path
    assert document.output_path(path, None, inplace=False) == tmp_path / "nb.out.ipynb"


def test_an_output_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    path = save(tmp_path / "nb.ipynb", "1")
    (tmp_path / "file").touch()
    for out, told in ((tmp_path / "file" / "x.ipynb", "cannot be written"), (tmp_path, "a directory")):
        with pytest.raises(UsageError, match=told):
            document.output_path(path, str(out), inplace=False)


def test_a_failed_write_leaves_the_old_output_and_no_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "out.ipynb"
    target.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UsageError, match="No space left"):
        document.write_text("new", target)
    assert target.read_text(encoding="utf-8") == "old"
    assert parts(tmp_path) == []


def test_text_that_is_not_unicode_is_written_escaped(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell("p", outputs=[new_output("stream", text="\udcff")])])
    document.write(notebook, tmp_path / "out.ipynb")
    assert texts(load(tmp_path / "out.ipynb").cells[0]) == "\udcff"


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    document.check_writable(pipe)
    document.write_text("hello", pipe)
    reader.join(5)
    assert got == ["hello"]
    assert pipe.is_fifo()


def test_a_widget_view_goes_and_its_plain_form_stays() -> None:
    view = new_output("display_data", {document.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "Slider"})
    only = new_output("display_data", {document.WIDGET_VIEW: {"model_id": "1"}})
    printed = new_output("stream", text="x")
    notebook = new_notebook(cells=[new_code_cell("s", outputs=[view, only, printed])])
    document.drop_widget_views(notebook)
    assert [texts(cell) for cell in notebook.cells] == ["Slider\nx"]
    assert document.WIDGET_VIEW not in nbformat.writes(notebook)


# -- parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1e-3", -1e-3),
        ("true", True),
        ("False", False),
        ("null", None),
        ("None", None),
        ("[1, 'a', null]", [1, "a", None]),
        ('{"a": true}', {"a": True}),
        ("{'a': [true]}", {"a": [True]}),
        (" 5", 5),
        ("(1, 2)", (1, 2)),
        ("'5'", "5"),
        ("adam", "adam"),
        ("0123", "0123"),
        ("1is", "1is"),
        ("...", "..."),
        ("", ""),
        ("[1,", "[1,"),
        ("(" * 500, "(" * 500),
    ],
)
def test_a_value_is_a_literal_or_else_a_string(text: str, value: object) -> None:
    assert parameters.parse_value(text) == value
    assert type(parameters.parse_value(text)) is type(value)


@pytest.mark.parametrize(
    "value",
    [1, 2.5, float("inf"), -float("inf"), "a'\n\"b\\", None, True, [1, [float("inf")]], {"a": {1: (2,)}}],
)
def test_the_injected_source_evaluates_to_the_value(value: object) -> None:
    assert eval(parameters.source_of(value)) == value


def test_nan_is_injected_too() -> None:
    value = eval(parameters.source_of(float("nan")))
    assert value != value


def test_parameters_come_behind_their_defaults_and_replace_those_of_an_earlier_run() -> None:
    notebook = new_notebook(
        cells=[new_markdown_cell("#"), tagged("%time\na = 1\nb: int = 2", "parameters"), "x"][:2]
    )
    assert parameters.inject(notebook, {"a": 5}) == []
    assert parameters.inject(notebook, {"b": 7}) == []
    assert [cell.source for cell in notebook.cells[2:]] == ["# Parameters\nb = 7"]
    nbformat.validate(notebook)


def test_an_unknown_parameter_is_refused_with_the_names_that_there_are() -> None:
    notebook = new_notebook(cells=[tagged("epochs = 1\nrate, seed = 1, 2\nd = {}\nd[0] = 1", "parameters")])
    with pytest.raises(UsageError, match=r"'epoch' \(did you mean 'epochs'\?\).*: epochs, rate, seed, d$"):
        parameters.inject(notebook, {"epoch": 2})


def test_without_a_tagged_cell_parameters_go_to_the_top_and_it_is_said() -> None:
    notebook = new_notebook(cells=[new_code_cell("print(a)")])
    (note,) = parameters.inject(notebook, {"a": 1})
    assert "no cell is tagged 'parameters'" in note
    assert notebook.cells[0].source == "# Parameters\na = 1"


def test_parameters_of_a_notebook_in_another_language_are_refused() -> None:
    notebook = new_notebook(metadata={"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}})
    with pytest.raises(UsageError, match="this notebook is in R"):
        parameters.inject(notebook, {"a": 1})


@pytest.mark.parametrize("name", ["1a", "a-b", "for", ""])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="must be a Python identifier"):
        parameters.parse_pairs([(name, "1")])


# -- what is shown -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_off_a_terminal_each_cell_has_one_line() -> None:
    stream = io.StringIO()
    lines = progress.Lines(stream)
    for number, ok in ((1, True), (2, False)):
        lines.started(number, 10, "%%time\n\nx = 1\ny")
        lines.tick(0.5, {})
        lines.ended(1.25, ok, {})
    first, second = stream.getvalue().splitlines()
    assert first.split() == ["[", "1/10]", "%%time", "x", "=", "1", "1.2", "s"]
    assert second.endswith(" s  failed")
    assert "\r" not in stream.getvalue()


def test_on_a_terminal_the_line_counts_up_in_place() -> None:
    stream = Terminal()
    lines = progress.Lines(stream)
    lines.started(1, 1, "x" * 300)
    lines.tick(0.5, {})
    lines.ended(1.0, True, {"f": 3, "g" * 40: 12_000})
    assert stream.getvalue().count("\r") == 2
    assert stream.getvalue().count("\n") == 1
    assert all(len(shown) <= progress.WIDTH_MAX for shown in stream.getvalue().split("\r"))
    assert "g… 12,000" in stream.getvalue()


def test_the_calls_of_a_cell_are_told_with_it(program: Program, tmp_path: Path) -> None:
    notebook = save(
        tmp_path / "n.ipynb",
        "import cloudburst_nb as cb\nf = cb.function(lambda x: x, name='same')",
        "values = cb.gather(f.map(range(30)))",
        "f(1).get()",
        "x = 1",
    )
    first, second, third, fourth, *_ = program(notebook).stderr.splitlines()
    assert second.endswith(" s  same 30")
    assert third.endswith(" s  same 1")
    assert first.endswith(" s")
    assert fourth.endswith(" s")


def test_colours_are_kept_for_terminals_only() -> None:
    failure = Failure("E: x", 1, 2, "a\nb", 2, "\x1b[31mred\x1b[0m")
    plain, coloured = io.StringIO(), Terminal()
    progress.Lines(plain).failure(failure)
    progress.Lines(coloured).failure(failure)
    assert "\x1b" not in plain.getvalue()
    assert "\x1b[31mred" in coloured.getvalue()
    assert plain.getvalue().startswith("cloudburst-nb: cell 1 of 2: E: x\n")
    assert "  -->  2  b" in plain.getvalue()


def test_a_long_cell_is_shown_around_its_failing_line() -> None:
    shown = progress.excerpt("\n".join(f"line{n}" for n in range(1, 101)), 50)
    assert shown[0].strip() == shown[-1].strip() == "…"
    assert [row.split()[-1] for row in shown[1:-1]] == [f"line{n}" for n in range(47, 54)]
    assert "  --> 50  line50" in shown


def test_the_failing_line_is_that_of_the_cell_itself() -> None:
    traceback = "\x1b[0mCell \x1b[0mIn[3], line 2\n... Cell In[1], line 7, in f(y)"
    assert failing_line(traceback, 3) == 2
    assert failing_line(traceback, 1) == 7
    assert failing_line(traceback, 2) is None


def test_results_are_the_text_outputs_and_figures_are_mentioned() -> None:
    figure = new_output("display_data", {"image/png": "aGk=", "text/plain": "<Figure size 640x480>"})
    long = new_output("stream", text="y\n" * 1000)
    notebook = new_notebook(
        cells=[
            new_code_cell("plot()", outputs=[figure]),
            new_code_cell("pass"),
            new_code_cell("p", outputs=[long]),
        ]
    )
    shown = list(progress.results(notebook))
    assert shown[:4] == ["[1] plot()", "    (a figure: see the notebook)", "", "[3] p"]
    assert "800 more lines" in shown[-2]


def test_the_folder_of_a_run_that_is_gone_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept, owner = private.make()
    gone, lock = private.make()
    lock.close()
    strange = tmp_path / f"{private.PREFIX}strange"
    strange.mkdir()
    made, third = private.make()
    assert (kept.exists(), gone.exists(), made.exists(), strange.exists()) == (True, False, True, True)
    assert kept.stat().st_mode & 0o077 == 0
    for folder, held in ((kept, owner), (made, third)):
        private.remove(folder, held)
    assert list(tmp_path.iterdir()) == [strange]


def test_a_temporary_folder_with_a_long_path_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder, owner = private.make()
    assert len(str(folder)) < private.SOCKET_PATH_MAX
    private.remove(folder, owner)


def test_a_kernel_gets_folders_of_its_own_where_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("IPYTHONDIR", raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    made = surroundings(tmp_path)
    assert Path(made["IPYTHONDIR"]).is_relative_to(tmp_path)
    assert made["MPLCONFIGDIR"] == str(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "IPYTHONDIR" not in surroundings(tmp_path)


# -- whole runs ----------------------------------------------------------------------------------------


@pytest.mark.notebook
def test_a_run_writes_the_notebook_with_its_outputs(tmp_path: Path, program: Program) -> None:
    path = save(
        tmp_path / "nb.ipynb",
        new_markdown_cell("# Title"),
        new_code_cell("print('old')", outputs=[new_output("stream", text="stale")], execution_count=9),
        tagged("1 / 0", "skip-execution"),
        tagged("n = 1", "parameters"),
        "import os, sys\nprint(sys.executable)\nprint(os.getcwd())\nn * 2",
        tagged("1 / 0", "raises-exception"),
    )
    before = path.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    done = program(
        path, "-o", tmp_path / "new" / "out.ipynb", "--results", "-p", "n", "-21", cwd=tmp_path / "elsewhere"
    )
    assert (done.returncode, path.read_bytes()) == (0, before), done.stderr
    cells = load(tmp_path / "new" / "out.ipynb").cells
    assert texts(cells[1]) == "old\n"
    assert cells[2].outputs == []
    assert texts(cells[5]).splitlines() == [sys.executable, str(tmp_path), "-42"]
    assert "    -42\n" in done.stdout
    assert done.stdout.endswith(f"executed notebook: {tmp_path / 'new' / 'out.ipynb'}\n")
    assert [line.split()[0] for line in done.stderr.splitlines()] == [
        "[1/5]",
        "[2/5]",
        "[3/5]",
        "[4/5]",
        "[5/5]",
    ]
    assert parts(tmp_path / "new") == []


@pytest.mark.notebook
def test_a_failing_cell_is_shown_and_the_notebook_written(tmp_path: Path, program: Program) -> None:
    stale = new_code_cell("print('never')", outputs=[new_output("stream", text="stale")])
    path = save(tmp_path / "nb.ipynb", "def f(y):\n    return 1 / y", "a = 1\nf(0)", stale)
    done = program(path)
    assert done.returncode == 1
    assert "cloudburst-nb: cell 2 of 3: ZeroDivisionError: division by zero\n" in done.stderr
    assert "  -->  2  f(0)" in done.stderr
    assert "return 1 / y" in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stdout == ""
    cells = load(tmp_path / "nb.out.ipynb").cells
    assert [output.output_type for output in cells[1].outputs] == ["error"]
    assert cells[2].outputs == []


@pytest.mark.notebook
def test_a_failure_without_a_traceback_is_told_in_its_line(tmp_path: Path, program: Program) -> None:
    done = program(save(tmp_path / "nb.ipynb", "%nosuchmagic"))
    assert done.returncode == 1
    assert "cell 1 of 1: UsageError: Line magic function `%nosuchmagic` not found." in done.stderr
    assert done.stderr.count("not found") == 1


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os\nprint('before', flush=True)\nos.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("import os\nos._exit(3)", "ended with exit status 3"),
    ],
)
def test_a_kernel_that_dies_is_reported_and_does_not_hang(
    tmp_path: Path, program: Program, source: str, told: str
) -> None:
    path = save(tmp_path / "nb.ipynb", "x = 1", source, "never")
    begin = time.monotonic()
    done = program(path)
    assert time.monotonic() - begin < 10
    assert done.returncode == 1
    assert "cell 2 of 3: the kernel died: its process" in done.stderr
    assert told in done.stderr
    assert load(tmp_path / "nb.out.ipynb").cells[0].execution_count == 1


@pytest.mark.notebook
def test_a_cell_over_its_time_fails_where_it_stood(tmp_path: Path, program: Program) -> None:
    done = program(save(tmp_path / "nb.ipynb", "import time\ntime.sleep(30)"), "--timeout", "0.5")
    assert done.returncode == 3
    assert "cell 1 of 1: the cell ran longer than 0.5 s" in done.stderr
    assert "  -->  2  time.sleep(30)" in done.stderr
    assert "KeyboardInterrupt" in done.stderr


@pytest.mark.notebook
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_soon_and_the_notebook_is_written(
    tmp_path: Path, number: signal.Signals
) -> None:
    begun = tmp_path / "pids"
    source = (
        "import os, subprocess, time\n"
        "pids = [subprocess.Popen(['sleep', '60'], start_new_session=new).pid for new in (True, False)]\n"
        f"open({str(begun)!r} + '.new', 'w').write(repr([os.getpid(), *pids]))\n"
        f"os.rename({str(begun)!r} + '.new', {str(begun)!r})\n"
        "print('so far', flush=True)\ntime.sleep(60)"
    )
    process = start(save(tmp_path / "nb.ipynb", "done = 1\ndone", source))
    try:
        deadline = time.monotonic() + 30
        while not begun.exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        begin = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
        assert time.monotonic() - begin < 3
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "cell 2 of 2: interrupted" in err
    assert not [pid for pid in json.loads(begun.read_text()) if _runs(pid)]
    cells = load(tmp_path / "nb.out.ipynb").cells
    assert texts(cells[0]) == "1\n"
    assert texts(cells[1]).startswith("so far\n")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.notebook
def test_it_works_without_home_stdin_display_and_kernelspecs(tmp_path: Path) -> None:
    path = save(
        tmp_path / "nb.ipynb", "import IPython, sys\nprint(IPython.paths.get_ipython_dir())\nsys.stdin.read()"
    )
    changes = {"HOME": "/dev/null", "JUPYTER_PATH": "/nowhere", "DISPLAY": ""}
    command = ["sh", "-c", 'exec "$0" -m cloudburst_nb.cli run "$1" <&-', sys.executable, str(path)]
    done = subprocess.run(
        command, env=environment(**changes), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    (cell,) = load(tmp_path / "nb.out.ipynb").cells
    assert "cbnb-" in texts(cell)
    assert not [output for output in cell.outputs if output.get("name") == "stderr"]


@pytest.mark.notebook
def test_a_page_holds_everything_itself(tmp_path: Path, program: Program) -> None:
    pytest.importorskip("nbconvert")
    done = program(save(tmp_path / "nb.ipynb", "print('on the page')"), "--html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "nb.out.html").read_text(encoding="utf-8")
    assert "on the page" in page
    assert 'src="http' not in page


def test_a_page_without_nbconvert_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install nbconvert"):
        run([Request(save(tmp_path / "nb.ipynb", "1"), html=True)])
    assert not (tmp_path / "nb.out.ipynb").exists()


@pytest.mark.notebook
def test_bad_requests_are_one_line_and_status_2(tmp_path: Path, program: Program) -> None:
    path = save(tmp_path / "nb.ipynb", tagged("a = 1", "parameters"))
    other = save(tmp_path / "other.ipynb", "1", kernelspec={"name": "nosuch", "display_name": "?"})
    for arguments, told in (
        ([tmp_path / "none.ipynb"], "no such file"),
        ([path, "-p", "b", "1"], "the notebook has: a"),
        ([path, "-o", path], "--inplace"),
        ([other], "no kernel 'nosuch' is installed; there is cloudburst"),
    ):
        done = program(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("cloudburst-nb: ")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


def test_no_grammars_are_compiled_to_read_a_notebook(tmp_path: Path, program: Program) -> None:
    """jsonschema imports what compiles them where JupyterLab is installed: more than a second, each time."""
    (tmp_path / "rfc3987_syntax.py").write_text("raise SystemExit('a second is lost')")
    path = save(tmp_path / "nb.ipynb", "1")
    roots = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    done = program(path, "--kernel", "nosuch", env=environment(PYTHONPATH=roots))
    assert "no kernel 'nosuch' is installed" in done.stderr, done.stderr


@pytest.mark.notebook
def test_a_run_from_within_a_running_loop(tmp_path: Path) -> None:
    """As in a notebook, where this thread already runs a loop."""
    import asyncio

    async def caller() -> int:
        return run([Request(save(tmp_path / "nb.ipynb", "1 + 1"))], 1, False, io.StringIO(), io.StringIO())

    assert asyncio.run(caller()) == 0
    assert texts(load(tmp_path / "nb.out.ipynb").cells[0]) == "2\n"


def test_who_listens_no_more_does_not_keep_the_notebook_from_being_written(tmp_path: Path) -> None:
    process = start(save(tmp_path / "nb.ipynb", "1 + 1", "'the end'"))
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    process.wait(timeout=60)
    assert "the end" in texts(load(tmp_path / "nb.out.ipynb").cells[-1])
