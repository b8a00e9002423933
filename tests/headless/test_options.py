"""What `cloudburst-nb run` can be asked for: parameters, cells, limits, pages, several at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cloudburst_nb import overrides
from cloudburst_nb.headless import parameters
from cloudburst_nb.headless.errors import UsageError
from cloudburst_nb.headless.run import Request, prepare, run
from cloudburst_nb.headless.selection import select
from tests.notebooks_at_hand import Program, load, save, tagged, texts

# -- parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        ("a = 'x'", "3", "3"),
        ("a = 'x'", "true", "true"),
        ("a = 1", "3", 3),
        ("a = 1.0", "3", 3.0),
        ("a: float = 1", "3", 3.0),
        ("a = True", "false", False),
        ("a = []", "[1, true]", [1, True]),
        ("a: list[int] = None", "[1]", [1]),
        ("a = (1, 2)", "[3, 4]", (3, 4)),
        ("a = None", "0.5", 0.5),
        ("a = f(3)", "adam", "adam"),
    ],
)
def test_a_parameter_is_of_the_type_that_its_default_has(default: str, text: str, value: object) -> None:
    notebook = new_notebook(cells=[tagged(default, "parameters")])
    parameters.inject(notebook, parameters.parse_pairs([("a", text)]))
    names: dict[str, Any] = {}
    exec(notebook.cells[1].source, names)
    assert names["a"] == value
    assert type(names["a"]) is type(value)


@pytest.mark.parametrize(
    ("default", "text"),
    [
        ("a = 1", "x"),
        ("a = 1", "0.5"),
        ("a = 1", "true"),
        ("a = True", "1"),
        ("a = []", "{}"),
        ("a: int = f()", "''"),
    ],
)
def test_a_parameter_of_another_type_is_refused(default: str, text: str) -> None:
    notebook = new_notebook(cells=[tagged(default, "parameters")])
    with pytest.raises(
        UsageError, match=r"parameter 'a' is of type \w+ in the notebook; .* is of type"
    ) as told:
        parameters.inject(notebook, parameters.parse_pairs([("a", text)]))
    assert "\n" not in str(told.value)


def test_parameters_from_yaml_keep_their_types_and_give_way_to_those_of_the_line(
    tmp_path: Path, program: Program
) -> None:
    path = save(
        tmp_path / "nb.ipynb", tagged("n = 1\nnames = []\nlabel = ''", "parameters"), "n, names, label"
    )
    (tmp_path / "p.yaml").write_text("n: 4\nnames: [ä, 'no']\nlabel: '7'\n", encoding="utf-8")
    done = program(path, "-y", tmp_path / "p.yaml", "-p", "n", "5")
    assert done.returncode == 0, done.stderr
    assert texts(load(tmp_path / "nb.out.ipynb").cells[-1]) == "(5, ['ä', 'no'], '7')\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [", "not YAML"),
        (b"[1]", "must be a mapping"),
        (b"1: 2", "must be a mapping"),
        (b"a-b: 2", "must be a Python identifier"),
        (b"a: 2020-01-01", "a date cannot be set"),
        (b"a: {b: [2020-01-01]}", "a date cannot be set"),
        (b"a: !!python/object:os.system x", "not YAML"),
    ],
)
def test_a_yaml_file_that_holds_no_parameters_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=told) as caught:
        parameters.read_yaml(path)
    assert "\n" not in str(caught.value)


def test_an_empty_yaml_file_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("# nothing\n")
    assert parameters.read_yaml(tmp_path / "p.yaml") == {}


# -- cells ---------------------------------------------------------------------------------------------


def notebook_of_four() -> Any:
    cells = [
        new_markdown_cell("#"),
        tagged("a = 1", "parameters"),
        new_code_cell("2"),
        new_code_cell(""),
        tagged("3", "slow"),
        tagged("4", "slow"),
    ]
    return new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("wanted", "indices"),
    [
        (None, [1, 2, 4, 5]),
        ("1-4", [1, 2, 4, 5]),
        ("2", [1, 2]),
        ("4,2", [1, 2, 5]),
        ("3-", [1, 4, 5]),
        ("-2", [1, 2]),
        ("tag:slow", [1, 4, 5]),
        (" tag:slow , 2", [1, 2, 4, 5]),
    ],
)
def test_cells_are_chosen_by_number_and_tag(wanted: str | None, indices: list[int]) -> None:
    assert select(notebook_of_four(), wanted) == indices


def test_injected_parameters_are_executed_and_not_counted() -> None:
    notebook = notebook_of_four()
    parameters.inject(notebook, {"a": 2})
    assert [notebook.cells[index].source for index in select(notebook, "2")] == [
        "a = 1",
        "# Parameters\na = 2",
        "2",
    ]


@pytest.mark.parametrize(
    "wanted", ["", "0", "5", "2-9", "3-2", "x", "-", "1,,2", "tag:", "tag:none", "1-2-3"]
)
def test_a_choice_of_no_cells_is_refused(wanted: str) -> None:
    with pytest.raises(UsageError, match="--cells: "):
        select(notebook_of_four(), wanted)


@pytest.mark.notebook
def test_only_the_chosen_cells_run(tmp_path: Path, program: Program) -> None:
    path = save(tmp_path / "nb.ipynb", "x = 1", "1 / 0", "x + 1")
    done = program(path, "--cells", "1,3")
    assert done.returncode == 0, done.stderr
    cells = load(tmp_path / "nb.out.ipynb").cells
    assert [texts(cell) for cell in cells] == ["", "", "2\n"]
    assert cells[1].execution_count is None


# -- limits and errors ---------------------------------------------------------------------------------


@pytest.mark.notebook
def test_a_run_over_its_time_ends_with_status_3_and_is_written(tmp_path: Path, program: Program) -> None:
    path = save(tmp_path / "nb.ipynb", "print('first')", "import time\ntime.sleep(60)", "never")
    done = program(path, "--total-timeout", "3")
    assert done.returncode == 3
    assert "the run took longer than 3 s" in done.stderr
    assert texts(load(tmp_path / "nb.out.ipynb").cells[0]) == "first\n"


@pytest.mark.notebook
def test_errors_that_are_allowed_are_counted_and_the_run_goes_on(tmp_path: Path, program: Program) -> None:
    path = save(tmp_path / "nb.ipynb", "1 / 0", "print('after')")
    done = program(path, "--allow-errors")
    assert done.returncode == 0
    assert "cells that raised, as allowed: 1\n" in done.stderr
    cells = load(tmp_path / "nb.out.ipynb").cells
    assert [cells[0].outputs[0].output_type, texts(cells[1])] == ["error", "after\n"]


@pytest.mark.notebook
def test_a_kernel_that_dies_is_no_allowed_error(tmp_path: Path, program: Program) -> None:
    path = save(tmp_path / "nb.ipynb", "import os\nos._exit(1)", "never")
    done = program(path, "--allow-errors")
    assert done.returncode == 1
    assert "the kernel died" in done.stderr


# -- what is told and written --------------------------------------------------------------------------


@pytest.mark.notebook
def test_a_machine_is_told_all_in_one_object(tmp_path: Path, program: Program) -> None:
    path = save(tmp_path / "nb.ipynb", "1", "x = 1\n1 / 0", "never")
    done = program(path, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert [told["status"], told["exit"], told["output"]] == ["failed", 1, str(tmp_path / "nb.out.ipynb")]
    assert [cell["error"] for cell in told["cells"]] == [None, "ZeroDivisionError: division by zero"]
    assert told["failure"] == {"cell": 2, "line": 2, "reason": "ZeroDivisionError: division by zero"}
    assert told["seconds"] >= sum(cell["seconds"] for cell in told["cells"])


@pytest.mark.notebook
def test_markdown_lies_beside_its_pictures(tmp_path: Path, program: Program) -> None:
    source = (
        "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(30), format='png')"
    )
    done = program(save(tmp_path / "nb.ipynb", new_markdown_cell("# Title"), source), "--markdown")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "nb.out.md").read_text(encoding="utf-8")
    (picture,) = (tmp_path / "nb.out_files").iterdir()
    assert "# Title" in page
    assert f"(nb.out_files/{picture.name})" in page
    assert picture.read_bytes().startswith(b"\x89PNG")


# -- several notebooks ---------------------------------------------------------------------------------


@pytest.mark.notebook
def test_several_notebooks_run_side_by_side_and_the_gravest_status_counts(
    tmp_path: Path, program: Program
) -> None:
    """They meet: each waits for the other's file, so they can only end if both run at once."""
    met = (
        "import pathlib, time\npathlib.Path('{0}').touch()\n"
        "while not pathlib.Path('{1}').exists(): time.sleep(0.05)"
    )
    one = save(tmp_path / "one.ipynb", met.format("a", "b"))
    two = save(tmp_path / "two.ipynb", met.format("b", "a"), "1 / 0")
    done = program(one, two, "-j", "2", "-o", tmp_path / "out", "--json", "--timeout", "50")
    assert done.returncode == 1
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["ok", "failed"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.ipynb", "two.ipynb"]
    assert "one [1/1]" in done.stderr
    assert "two [2/2]" in done.stderr


def test_two_notebooks_are_not_written_over_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    paths = [save(tmp_path / "nb.ipynb", "1"), save(tmp_path / "a" / "nb.ipynb", "1")]
    out = str(tmp_path / "out" / "nb.ipynb")
    with pytest.raises(UsageError, match="two of the notebooks would be written there"):
        run([Request(path, out=out) for path in paths])


def test_one_bad_notebook_keeps_all_from_running(tmp_path: Path) -> None:
    good = save(tmp_path / "good.ipynb", "open('ran', 'w')")
    with pytest.raises(UsageError, match="no such file"):
        run([Request(good), Request(tmp_path / "none.ipynb")])
    assert not (tmp_path / "ran").exists()
    assert prepare(Request(good)).indices == [0]


# -- the runtime of a run ------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [None, 3, (2, 8)])
def test_what_is_asked_of_the_runtime_travels_in_the_environment(asked: Any) -> None:
    environment = overrides.variables(asked, "/somewhere")
    assert overrides.executors(environment) == asked
    assert overrides.state_dir(environment) == "/somewhere"
    assert overrides.state_dir(overrides.variables()) is None


@pytest.mark.notebook
@pytest.mark.processes
def test_the_line_counts_more_than_the_notebook(tmp_path: Path, program: Program) -> None:
    path = save(
        tmp_path / "nb.ipynb",
        "import time\nimport cloudburst_nb as cb\nclient = cb.up(executors=1)\n"
        "while len(client.status().executors) < 3: time.sleep(0.05)",
    )
    done = program(path, "--executors", "3", "--timeout", "50")
    assert done.returncode == 0, done.stderr
