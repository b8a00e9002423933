"""The cell magic in a real kernel: what a front end receives."""

import os
import re
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[2]
PREPARE = """
from types import SimpleNamespace
from cloudburst_kernel import client, magics

def function(obj, *, name=None, source=None, **options):
    return SimpleNamespace(name=name or obj.__name__, version=1, raw=obj, source=source)

client.api = lambda: SimpleNamespace(function=function, running=lambda: False)
magics.load_ipython_extension(get_ipython())
"""


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """Run a cell in a kernel; return (the reply, the messages that a front end shows)."""
    home = tmp_path_factory.mktemp("home")
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "runtime", "kernel_ext"))
    environment = {**os.environ, "PYTHONPATH": paths, "IPYTHONDIR": str(home), "HOME": str(home)}
    manager = KernelManager(transport="ipc", ip=str(home / "kernel"))
    manager.start_kernel(env=environment, extra_arguments=["--HistoryManager.enabled=False"])
    kernel = manager.client()
    kernel.start_channels()
    kernel.wait_for_ready(timeout=60)

    def run(cell):
        messages = []
        reply = kernel.execute_interactive(cell, timeout=60, output_hook=messages.append)
        shown = ("stream", "error", "display_data", "execute_result")
        return reply["content"], [each for each in messages if each["msg_type"] in shown]

    assert run(PREPARE)[0]["status"] == "ok"
    yield run
    kernel.stop_channels()
    manager.shutdown_kernel(now=True)


def plain_text(content):
    """A traceback without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))


pytestmark = [
    pytest.mark.notebook,
    pytest.mark.skipif(sys.platform == "win32", reason="the kernel is reached through a unix socket"),
]


def test_registering_shows_names_as_text_and_html(execute):
    reply, messages = execute("%%cloudburst\ndef square(x):\n    return x * x\nsquare(6) + 6\n")
    assert reply["status"] == "ok"
    assert [each["msg_type"] for each in messages] == ["execute_result", "display_data"]
    assert messages[0]["content"]["data"]["text/plain"] == "42"
    data = messages[1]["content"]["data"]
    assert data["text/plain"] == "square v1"
    assert "<b>square</b> v1" in data["text/html"]


def test_a_failing_cell_fails_once_and_stops_the_notebook(execute):
    reply, messages = execute("%%cloudburst\ndef f():\n    return 1 / 0\nf()\n")
    assert (reply["status"], reply["ename"]) == ("error", "ZeroDivisionError")
    (message,) = messages
    text = plain_text(message["content"])
    assert text.count("ZeroDivisionError: division by zero") == 1
    assert "----> 4 f()" in text
    assert "----> 3     return 1 / 0" in text
    assert "run_cell_magic" not in text


def test_a_syntax_error_fails_once_as_any_other_cells_does(execute):
    _, (plain,) = execute("\ndef f(:\n    pass\n")
    reply, (message,) = execute("%%cloudburst\ndef f(:\n    pass\n")
    assert (reply["status"], reply["ename"]) == ("error", "SyntaxError")
    assert message["content"]["evalue"].startswith(plain["content"]["evalue"].split(" (")[0])
    assert len(message["content"]["traceback"]) == len(plain["content"]["traceback"])
    assert "run_cell_magic" not in plain_text(message["content"])


def test_the_source_of_a_body_form_cell_is_found(execute):
    execute("%%cloudburst f(x) -> y\ny = 1 / x\n")
    _, (message,) = execute("import inspect; print(inspect.getsource(f.raw))")
    assert "    y = 1 / x\n    return y" in message["content"]["text"]
    reply, _ = execute("f.raw(0)")
    assert "----> 2     y = 1 / x" in plain_text(reply)
