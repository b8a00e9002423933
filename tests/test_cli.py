"""The command line: how arguments are read, what reaches the client, how errors and exit statuses look.

The client is a recording fake here; with a real runtime the commands are tested elsewhere.
"""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cloudburst_nb import cli, commands, options
from cloudburst_nb.headless.errors import UsageError
from cloudburst_runtime.errors import KeyNotFound, RuntimeUnavailable

ROOT = Path(__file__).resolve().parents[1]


class FakeClient:
    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.address = "fake:1"
        self.store: dict[str, Any] = {"a": "text", "b": [1, "x"]}

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("left")

    def status(self) -> str:
        return "all is well"

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def get(self, key: str, version: int | None = None, lattice: str | None = None) -> Any:
        assert version is None
        assert lattice is None
        if key not in self.store:
            raise KeyNotFound(f"no key {key!r}\nkeys that there are: a, b")
        return self.store[key]

    def put(self, key: str, value: Any, **options: Any) -> None:
        if options.get("lattice") == "max" and not isinstance(value, int):
            raise TypeError("a max takes a number")
        self.calls.append(("put", key, value, options))

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.store if key.startswith(prefix)]

    def delete(self, key: str) -> None:
        self.calls.append(("delete", key))


class FakeModule:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def up(self, **options: Any) -> FakeClient:
        if options.get("executors") == 2000:
            raise ValueError("executors must be from 1 to 1000")
        self.calls.append(("up", options))
        return FakeClient(self.calls)

    def connect(self, address: str) -> FakeClient:
        if address == "gone":
            raise RuntimeUnavailable("no runtime answers at gone")
        self.calls.append(("connect", address))
        return FakeClient(self.calls)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeModule:
    module = FakeModule()
    monkeypatch.setattr(commands, "cb", module)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv(commands.ADDRESS_VARIABLE, raising=False)
    return module


Captured = pytest.CaptureFixture[str]


def test_up_prints_the_address_and_the_other_commands_find_it(fake: FakeModule, capsys: Captured) -> None:
    assert cli.main(["up", "--executors", "2:8"]) == 0
    assert capsys.readouterr().out == "fake:1\n"
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out == "all is well\n"
    assert cli.main(["down"]) == 0
    assert fake.calls == [
        ("up", {"executors": (2, 8), "detach": True}),
        "left",
        ("connect", "fake:1"),
        "left",
        ("connect", "fake:1"),
        "shutdown",
    ]
    assert cli.main(["status"]) == 2
    assert "no runtime is known: start one with `cloudburst-nb up`" in capsys.readouterr().err


def test_an_address_given_comes_before_the_environment_and_that_before_the_one_remembered(
    fake: FakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.remember("kept")
    assert commands.find(None) == "kept"
    monkeypatch.setenv(commands.ADDRESS_VARIABLE, "environment")
    assert commands.find(None) == "environment"
    assert commands.find("given") == "given"


@pytest.mark.usefixtures("fake")
def test_down_of_another_runtime_does_not_forget_ours() -> None:
    commands.remember("ours")
    assert cli.main(["down", "theirs"]) == 0
    assert commands.recall() == "ours"


@pytest.mark.usefixtures("fake")
def test_a_runtime_that_is_gone_is_forgotten_when_it_is_taken_down() -> None:
    commands.remember("gone")
    assert cli.main(["down"]) == 1
    assert commands.recall() is None


@pytest.mark.usefixtures("fake")
def test_an_address_in_a_folder_open_to_others_is_not_used(tmp_path: Path) -> None:
    commands.remember("ours")
    next(tmp_path.iterdir()).chmod(0o755)
    with pytest.raises(UsageError, match="others can enter it"):
        commands.recall()


def test_kv_reads_literals_and_writes_them(fake: FakeModule, capsys: Captured) -> None:
    here = ["--address", "here"]
    assert cli.main(["kv", "put", *here, "k", "[1, 'x']"]) == 0
    assert cli.main(["kv", "put", *here, "n", "3", "--lattice", "max"]) == 0
    assert cli.main(["kv", "delete", *here, "k", "n"]) == 0
    done = [call for call in fake.calls if call not in (("connect", "here"), "left")]
    assert done == [
        ("put", "k", [1, "x"], {}),
        ("put", "n", 3, {"lattice": "max"}),
        ("delete", "k"),
        ("delete", "n"),
    ]
    assert cli.main(["kv", "get", *here, "a"]) == 0
    assert cli.main(["kv", "get", *here, "b"]) == 0
    assert cli.main(["kv", "keys", *here]) == 0
    assert capsys.readouterr().out == "text\n[1, 'x']\na\nb\n"


def test_kv_takes_a_large_value_from_a_pipe(fake: FakeModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y" * 300_000 + "\n"))
    assert cli.main(["kv", "put", "--address", "here", "k", "-"]) == 0
    assert ("put", "k", "y" * 300_000, {}) in fake.calls


class FullDisk(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("fake")
def test_an_output_that_has_no_room_is_an_error(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_write_nothing_more", lambda: None)
    monkeypatch.setattr("sys.stdout", FullDisk())
    assert cli.main(["kv", "get", "--address", "here", "a"]) == 1
    told = "cloudburst-nb: there is no room for what is written\n[Errno 28] No space left on device\n"
    assert capsys.readouterr().err == told


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("arguments", "status", "err"),
    [
        (
            ["kv", "get", "--address", "x", "z"],
            1,
            "cloudburst-nb: no key 'z'\nkeys that there are: a, b\n",
        ),
        (["status", "gone"], 1, "cloudburst-nb: no runtime answers at gone\n"),
        (
            ["kv", "put", "--address", "x", "k", "v", "--lattice", "max"],
            2,
            "cloudburst-nb: a max takes a number\n",
        ),
        (
            ["run", "a.ipynb", "--inplace", "-o", "b.ipynb"],
            2,
            "cloudburst-nb: --inplace and -o exclude each other\n",
        ),
        (["up", "--executors", "2000"], 2, "cloudburst-nb: executors must be from 1 to 1000\n"),
        (["run", "/nowhere/a.ipynb"], 2, "cloudburst-nb: /nowhere/a.ipynb: no such file\n"),
    ],
)
def test_an_error_is_one_line_then_its_detail(
    arguments: list[str], status: int, err: str, capsys: Captured
) -> None:
    assert cli.main(arguments) == status
    assert capsys.readouterr() == ("", err)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["run"], "required: NOTEBOOK"),
        (["run", "a.ipynb", "-p", "x"], "expected 2 arguments"),
        (["run", "a.ipynb", "--timeout", "soon"], "'soon' is not a positive number of seconds"),
        (["run", "a.ipynb", "--timeout", "nan"], "'nan' is not a positive number of seconds"),
        (["up", "--executors", "many"], "'many' is neither a positive number N nor MIN:MAX"),
        (["up", "--executors", "0"], "'0' is neither"),
        (["up", "--executors", "3:2"], "the minimum is above the maximum"),
        (["kv", "get"], "required: KEY"),
    ],
)
def test_bad_usage_is_told_in_one_line_with_the_usage(
    arguments: list[str], told: str, capsys: Captured
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.startswith("cloudburst-nb: ")
    assert told in err.splitlines()[0]
    assert err.splitlines()[1].startswith("usage: cloudburst-nb")


@pytest.mark.parametrize("value", ["-1", "-1e-3", "--flag", "-p"])
def test_the_value_of_a_parameter_may_begin_with_a_dash(value: str) -> None:
    arguments = cli._parser().parse_args(cli._guard(["run", "-p", "x", value, "a.ipynb", "--html"]))
    assert [text.removeprefix(options.GUARD) for text in arguments.parameter[0]] == ["x", value]
    assert arguments.html


def test_an_interrupt_has_its_own_status(
    fake: FakeModule, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fake, "connect", interrupted)
    assert cli.main(["status", "x"]) == 130
    assert capsys.readouterr().err == "cloudburst-nb: interrupted\n"


def execute(*arguments: str, command: str = "") -> subprocess.CompletedProcess[str]:
    roots = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "kernel_ext")]
    program = [sys.executable, "-m", "cloudburst_nb.cli", *arguments]
    return subprocess.run(
        ["sh", "-c", command, *program] if command else program,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_version_and_help() -> None:
    version, help_ = execute("--version"), execute("--help")
    assert version.stdout.startswith("cloudburst-nb ")
    assert all(name in help_.stdout for name in ("run", "up", "status", "down", "kv"))
    assert (version.returncode, help_.returncode) == (0, 0)


def test_help_imports_nothing_heavy() -> None:
    """The promise of a fast ``--help``, as what is imported rather than as a time."""
    source = (
        "import sys, contextlib, io\n"
        "from cloudburst_nb import cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    cli.main(['--help'])\n"
        "heavy = {'numpy', 'zmq', 'nbclient', 'nbformat', 'IPython', 'matplotlib', 'networkx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert execute(command=f'exec "$0" -c "{source}"').stdout == "[]\n"


def test_closed_standard_streams_do_no_harm() -> None:
    done = execute("run", "/nowhere.ipynb", command='"$0" "$@" <&- >&- 2>&-')
    assert done.returncode == 2


def test_a_reader_that_leaves_does_not_cause_a_traceback() -> None:
    done = execute("--help", command='"$0" "$@" | true')
    assert "Traceback" not in done.stderr


def test_up_in_the_foreground_stays_until_told_to_end(tmp_path: Path) -> None:
    source = (
        "import sys; sys.path[:0] = ['tests']\n"
        "import importlib.util as u\n"
        f"spec = u.spec_from_file_location('fakes', {str(Path(__file__))!r})\n"
        "fakes = u.module_from_spec(spec); sys.modules['fakes'] = fakes; spec.loader.exec_module(fakes)\n"
        "from cloudburst_nb import cli, commands\n"
        "commands.cb = fakes.FakeModule()\n"
        "status = cli.main(['up', '--foreground'])\n"
        "print(commands.cb.calls, status)\n"
    )
    roots = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "kernel_ext")]
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "fake:1\n"
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        out, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert out == "[('up', {'detach': False}), 'left'] 0\n"
