"""`cloudburst-nb export` and `serve`: the package gives what the notebook gives, without Jupyter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloudburst_nb as cb
from cloudburst_nb import export
from cloudburst_nb.cli import main
from cloudburst_nb.headless.errors import UsageError
from tests.notebooks_at_hand import environment, load, save, start, texts

CELLS = (
    "%load_ext cloudburst_nb\nimport cloudburst_nb as cb\nimport math\nfactor = 3",
    "%%cloudburst\n"
    "def scale(x):\n    return factor * x\n\n\n"
    "def noted(cloudburst, x):\n    cloudburst.put('last', x)\n    return math.sqrt(x)\n\n\n"
    "class Adder:\n    def __init__(self, start):\n        self.start = start\n\n"
    "    def run(self, x, y):\n        return self.start + x + y\n",
    "add = Adder.bind(100)\nnegate = cb.function(lambda x: -x, name='negate')\nfactor = 5",
    "pipe = cb.dag('pipe', scale >> [noted, negate] >> add)",
    "print(pipe(12).get(), cb.get('last'))",
    "%cloudburst down",
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    assert main(["export", str(save(folder / "made.ipynb", *CELLS)), "-o", str(folder / "made")]) == 0
    return folder / "made"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that has nothing to do with the package."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "made"]:
        del sys.modules[name]


def test_the_package_gives_what_the_notebook_gives(package: Path, elsewhere: Path) -> None:
    notebook = save(elsewhere / "made.ipynb", *CELLS)
    process = start(notebook, "-o", elsewhere / "out.ipynb")
    assert process.communicate(timeout=60)
    said = texts(load(elsewhere / "out.ipynb").cells[4]).strip()
    with cb.up(executors=2) as client:
        names = export.register(client, export.load(package))
        assert sorted(names) == ["Adder", "negate", "noted", "pipe", "scale"]
        pipe = client.get_dag("pipe")
        assert f"{pipe(12).get(30)} {client.get('last')}" == said == "70.0 36"


def test_it_is_plain_python_too(package: Path) -> None:
    code = "import made; print(made.scale(4), made.Adder(1).run(2, 3), made.negate(2), made.__all__)"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(
        command, cwd=package.parent, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "12 6 -2 ['Adder', 'negate', 'noted', 'scale']\n", ran.stderr


def test_the_manifest_tells_what_is_there(package: Path) -> None:
    manifest = json.loads((package / "manifest.json").read_text())
    assert manifest["origin"] == "made.ipynb"
    assert manifest["functions"]["scale"]["signature"] == "(x)"
    assert manifest["functions"]["negate"]["pickled"]
    assert [node["function"] for node in manifest["dags"]["pipe"]["nodes"]] == [
        "scale",
        "noted",
        "negate",
        "Adder",
    ]


def test_it_is_served_and_called_from_the_command_line(package: Path, elsewhere: Path) -> None:
    def program(*arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "cloudburst_nb.cli", *map(str, arguments)]

    surroundings = environment(XDG_RUNTIME_DIR=str(elsewhere))
    serving = subprocess.Popen(
        program("serve", package, "--executors", "2"), stdout=subprocess.PIPE, text=True, env=surroundings
    )
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("unix:")
        assert serving.stdout.readline() == "serving Adder, negate, noted, scale, pipe\n"
        for arguments, status, out in (
            (("pipe", "12"), 0, "70.0\n"),
            (("scale", "x=4"), 0, "12\n"),
            (("noted", "-4"), 1, ""),
        ):
            ran = subprocess.run(
                program("call", *arguments), env=surroundings, capture_output=True, text=True, timeout=60
            )
            assert (ran.returncode, ran.stdout) == (status, out), ran.stderr
        assert ran.stderr.startswith("cloudburst-nb: noted: ValueError: math domain error\n")
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
    finally:
        serving.kill()
        serving.communicate()


def test_it_is_exported_again_over_itself_and_over_nothing_else(tmp_path: Path) -> None:
    notebook = save(tmp_path / "n.ipynb", *CELLS[:2])
    assert main(["export", str(notebook), "-o", str(tmp_path / "made")]) == 0
    (tmp_path / "made" / "functions" / "old.py").write_text("left over")
    assert main(["export", str(notebook), "-o", str(tmp_path / "made")]) == 0
    assert not (tmp_path / "made" / "functions" / "old.py").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert main(["export", str(notebook), "-o", str(tmp_path / "mine")]) == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("cells", "status", "told"),
    [
        (("1 / 0",), 1, "ZeroDivisionError"),
        (("x = 1",), 1, "registers no function"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cells: tuple[str, ...], status: int, told: str
) -> None:
    notebook = save(tmp_path / "n.ipynb", *cells)
    assert main(["export", str(notebook), "-o", str(tmp_path / "made")]) == status
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["n.ipynb"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("none", None, "no exported package"),
        ("torn", "{", "cannot be read"),
        ("newer", '{"format": 99}', "format 99, and this version reads 1"),
    ],
)
def test_what_is_no_package_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    (tmp_path / name).mkdir()
    if text is not None:
        (tmp_path / name / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match=told):
        export.load(tmp_path / name)


def test_a_name_that_cannot_be_imported_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = save(tmp_path / "n.ipynb", "x = 1")
    assert main(["export", str(notebook), "-o", str(tmp_path / "my-package")]) == 2
    assert "'my-package' is no name" in capsys.readouterr().err
