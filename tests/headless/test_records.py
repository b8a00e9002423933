"""Recording a notebook from the command line, and verifying it against the record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from cloudburst_nb.headless.errors import UsageError
from cloudburst_nb.headless.verifying import verify
from cloudburst_nb.records.format import LogEntry
from cloudburst_nb.records.record import read
from tests.notebooks_at_hand import environment, save, tagged

pytestmark = pytest.mark.notebook

SETUP = "%load_ext cloudburst_nb\nimport cloudburst_nb as cb\nimport numpy as np\nimport random"
FUNCTIONS = """%%cloudburst
factor = 3
def scale(x):
    return {'is': factor * x, 'of': x}
def noise():
    return random.random(), list({'z', 'y', 'x', 'w', 'v'}), hash('text')"""
CALLS = "results = cb.gather(scale.map([1, 2, 3]))\nprint(noise().get())\nresults"
FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [r['is'] for r in results])\nplt.show()"
LATE = "import time\nprint(time.time_ns())"
PLAIN = "{'z', 'y', 'x'}, np.arange(5) / 3, object()"


def cloudburst(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloudburst_nb.cli", *map(str, arguments)]
    options = {"env": environment(), "stdin": subprocess.DEVNULL, "timeout": 60, **options}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, **options)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    cells = [
        SETUP,
        tagged("size = 3", "parameters"),
        FUNCTIONS,
        CALLS,
        FIGURE,
        tagged(LATE, "nondeterministic"),
    ]
    return save(folder / "nb.ipynb", *cells, PLAIN)


@pytest.fixture(scope="module")
def record(notebook: Path) -> Path:
    done = cloudburst("record", notebook, "--seed", "4", "-p", "size", "5", "--executors", "2")
    assert done.returncode == 0, done.stderr
    assert f"record: {notebook.with_name('nb.record')}" in done.stderr
    return notebook.with_name("nb.record")


def edited(notebook: Path, target: Path, old: str, new: str) -> Path:
    text = notebook.read_text(encoding="utf-8")
    assert text.count(old) == 1, text
    target.write_text(text.replace(old, new), encoding="utf-8")
    return target


def test_a_record_of_a_notebook_has_its_cells_and_calls(notebook: Path, record: Path) -> None:
    assert sorted(path.name for path in notebook.parent.iterdir()) == ["nb.ipynb", "nb.record"]
    found = read(record)
    assert (found.head.notebook, found.head.seed, found.head.executors) == ("nb.ipynb", 4, 2)
    assert found.head.arguments == {"size": "5"}
    assert found.head.complete
    assert [call.target for call in found.calls] == ["scale"] * 3 + ["noise"]
    assert [shown.kind for shown in found.cells[4].outputs] == ["text", "value"]
    assert [shown.kind for shown in found.cells[5].outputs] == ["figure"]
    assert found.calls[0].cell == found.cells[4].count
    executed = nbformat.reads(found.files.notebook(), as_version=4)
    assert not any("cloudburst" in kind for cell in executed.cells for kind in kinds(cell)), "stripped"


def kinds(cell: Any) -> list[str]:
    return [kind for output in cell.get("outputs", []) for kind in output.get("data", {})]


def test_the_same_notebook_is_verified_and_replayed(notebook: Path, record: Path) -> None:
    done = cloudburst("verify", notebook, "--against", record, "--executors", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "7 same, 1 skipped"
    again = cloudburst("replay", record)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout == "4 calls, 4 functions executed: 4 came out as they did\n"


def test_a_changed_function_is_told_with_its_cell_call_and_argument(
    notebook: Path, record: Path, tmp_path: Path
) -> None:
    changed = edited(notebook, tmp_path / "nb.ipynb", "factor * x,", "factor * x + (x > 1),")
    done = cloudburst("verify", changed, "--against", record)
    assert done.returncode == 4, done.stderr
    told = done.stdout
    assert "[ 5] different  results = cb.gather" in told
    assert "output 2, value [1]['is']: 6 → 7" in told
    assert "[ 6] different  import matplotlib" in told
    assert "figure ['axes'][0]['lines'][0]['y'][1]: 6.0 → 7.0 (2 of 3 elements differ" in told
    assert "function scale version 1 is another: its source: " in told
    first = told.split("first call that differs: ")[1]
    assert first.startswith("call 2 (cell [5]): scale(2) version 1: it returned something else")
    assert told.splitlines()[-1] == "5 same, 2 different, 1 skipped"


def test_parameters_that_one_run_alone_was_given_do_not_shift_its_cells(tmp_path: Path) -> None:
    notebook = save(tmp_path / "nb.ipynb", tagged("shift = 0.0", "parameters"), "1 + shift", "'the end'")
    assert cloudburst("record", notebook).returncode == 0
    verify = ("verify", notebook, "--against", tmp_path / "nb.record", "-p", "shift", "1e-9")
    done = cloudburst(*verify)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (4, "2 same, 1 different"), done.stderr
    assert "[ 3] different  1 + shift\n" in done.stdout
    assert cloudburst(*verify, "--rtol", "1e-6").returncode == 0


def test_a_captured_global_that_changed_is_named(notebook: Path, record: Path, tmp_path: Path) -> None:
    changed = edited(notebook, tmp_path / "nb.ipynb", "factor = 3", "factor = 3.0000001")
    done = cloudburst("verify", changed, "--against", record, "--json")
    assert done.returncode == 4, done.stderr
    told = json.loads(done.stdout)
    assert told["functions"] == ["scale version 1 is another: factor: 3 → 3.0000001"]
    tolerant = cloudburst("verify", changed, "--against", record, "--rtol", "1e-6")
    assert tolerant.returncode == 0, tolerant.stdout


def test_a_cell_that_fails_now_is_a_difference(notebook: Path, record: Path, tmp_path: Path) -> None:
    changed = edited(notebook, tmp_path / "nb.ipynb", "plt.show()", "1 / 0")
    done = cloudburst("verify", changed, "--against", record)
    assert done.returncode == 4, done.stdout
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "ZeroDivisionError" in done.stderr
    assert "2 missing" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "damage", "told"),
    [
        ("replay", "log", "the record is cut short: its log has"),
        ("verify", "log", "the record is cut short: its log has"),
        ("replay", "version", "of version 7, and this program reads version 1"),
        ("replay", "gone", "no such record"),
    ],
)
def test_a_bad_record_is_refused_in_one_line(
    notebook: Path, record: Path, tmp_path: Path, command: str, damage: str, told: str
) -> None:
    bad = tmp_path / "bad"
    if damage != "gone":
        subprocess.run(["cp", "-r", str(record), str(bad)], check=True)
    if damage == "log":
        os.truncate(bad / "log", 100)
    if damage == "version":
        head = (bad / "record.json").read_text()
        (bad / "record.json").write_text(head.replace('"version": 1', '"version": 7'))
    done = (
        cloudburst("replay", bad) if command == "replay" else cloudburst("verify", notebook, "--against", bad)
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"cloudburst-nb: {bad}: ")
    assert told in line


def test_a_full_disk_is_told_and_leaves_no_record(tmp_path: Path) -> None:
    """A limit on the size of a file, set in the kernel, stands for the disk."""
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))"
    )
    size = "%%cloudburst\ndef size(array):\n    return len(array)"
    path = save(
        tmp_path / "nb.ipynb",
        SETUP,
        size,
        "size(np.zeros(1)).get()",
        limit,
        "size(np.random.rand(9000)).get()",
    )
    done = cloudburst("run", path, "--record", tmp_path / "r")
    assert done.returncode == 1
    assert f"cloudburst-nb: {tmp_path / 'r'}: the record cannot be written: File too large\n" in done.stderr
    assert "[5/5]" in done.stderr, "the notebook itself ran to its end"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["nb.ipynb", "nb.out.ipynb"]


def test_a_run_whose_kernel_dies_is_recorded_up_to_there(tmp_path: Path) -> None:
    square = "%%cloudburst\ndef square(x):\n    return x * x"
    wait = "import time, os\ntime.sleep(1.5)\nos.kill(os.getpid(), 9)"
    path = save(tmp_path / "nb.ipynb", SETUP, square, "square(3).get()", wait)
    done = cloudburst("run", path, "--record", tmp_path / "r")
    assert done.returncode == 1
    found = read(tmp_path / "r")
    assert not found.head.complete
    assert [call.target for call in found.calls] == ["square"]
    assert len(found.cells) == 4


def test_what_cannot_be_recorded_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = save(tmp_path / "nb.ipynb", "1")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "precious").write_text("")
    done = cloudburst("run", path, "--record", tmp_path / "r")
    assert (done.returncode, "exists and is no record" in done.stderr) == (2, True)
    assert not (tmp_path / "nb.out.ipynb").exists()
    with pytest.raises(UsageError, match="no such record"):
        verify(path, tmp_path / "nowhere")


def test_entries_of_a_record_are_all_known() -> None:
    assert len(LogEntry.__args__) == 7, "docs/records.md lists them"
