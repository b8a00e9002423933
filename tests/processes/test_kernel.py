"""The Cloudburst kernel: the magics are there, the runtime comes when used, and goes however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from cloudburst_nb.headless.kernel import ThisInterpreter
from tests.processes.watching import PATIENCE, alive, eventually, processes_of

pytestmark = [pytest.mark.processes, pytest.mark.notebook]

USE = """\
%%cloudburst
def square(x): return x * x
"""
RESULT = "square(3).get(timeout=60)"
WHERE = "import cloudburst_nb as cb; print(cb.up().address.removeprefix('unix:'), end='')"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[KernelManager]:
    """A manager of the kernel, not yet started; ended surely."""
    made = KernelManager(
        kernel_name="cloudburst",
        kernel_spec_manager=ThisInterpreter(),
        transport="ipc",
        ip=str(tmp_path / "k"),
        connection_file=str(tmp_path / "kernel.json"),
    )
    yield made
    if made.has_kernel:
        made.shutdown_kernel(now=True)
    made.cleanup_resources()


@pytest.fixture
def kernel(manager: KernelManager) -> Iterator[BlockingKernelClient]:
    """A kernel that answers."""
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=2 * PATIENCE)
        yield client
    finally:
        client.stop_channels()


def printed(client: BlockingKernelClient, code: str) -> str:
    """What a cell writes and shows; fails if it raises."""
    found: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        found.append(content.get("text", "") or content.get("data", {}).get("text/plain", ""))

    reply = client.execute_interactive(code, timeout=3 * PATIENCE, output_hook=hook)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(found)


def by_request(manager: KernelManager, client: BlockingKernelClient) -> None:
    client.shutdown()


def by_restart(manager: KernelManager, client: BlockingKernelClient) -> None:
    manager.restart_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def by_exit(manager: KernelManager, client: BlockingKernelClient) -> None:
    client.execute("exit")


def by_sigterm(manager: KernelManager, client: BlockingKernelClient) -> None:
    manager.signal_kernel(signal.SIGTERM)


def by_sigkill(manager: KernelManager, client: BlockingKernelClient) -> None:
    manager.signal_kernel(signal.SIGKILL)


def by_crash(manager: KernelManager, client: BlockingKernelClient) -> None:
    manager.restart_kernel(now=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_the_first_cell_can_use_the_magics_and_no_runtime_runs_before(kernel: BlockingKernelClient) -> None:
    assert printed(kernel, "import cloudburst_nb; cloudburst_nb.running()") == "False"
    assert "square" in printed(kernel, USE)
    assert printed(kernel, RESULT) == "9"


def test_it_introduces_itself(kernel: BlockingKernelClient) -> None:
    reply = kernel.kernel_info(reply=True, timeout=PATIENCE)["content"]
    assert reply["implementation"] == "cloudburst"
    assert "%%cloudburst" in reply["banner"]
    assert reply["language_info"]["name"] == "python"


@pytest.mark.parametrize("end", [by_request, by_restart, by_exit, by_sigterm, by_sigkill])
def test_its_runtime_ends_with_it(
    manager: KernelManager, kernel: BlockingKernelClient, end: Callable[[KernelManager, Any], None]
) -> None:
    directory = printed(kernel, WHERE)
    pid = manager.provisioner.pid
    assert processes_of(directory)
    end(manager, kernel)
    eventually(lambda: not alive(pid), what="the kernel ends")
    eventually(lambda: not processes_of(directory) and not os.path.exists(directory), what="its runtime ends")


def test_the_command_of_its_kernelspec_is_a_module_that_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cloudburst_kernel", "--version"],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


BEGIN = """
import time, cloudburst_nb as cb
cb.up(executors=2)
nap = cb.function(lambda cloudburst: cloudburst.recv(timeout=600), name="nap")
double = cb.function(lambda x: 2 * x, name="double")
earlier = nap()
"""
BLOCKED = "made = [nap(), nap()]; kept = nap().detach(); print('ready'); time.sleep(600)"
AWAITING = "awaited = nap(); aside = nap(); print('ready'); await awaited"


def interrupted(manager: KernelManager, client: BlockingKernelClient, code: str) -> str:
    """Interrupt a cell once it has said that it is ready; the name of the error that it ends with."""

    def hook(message: dict[str, Any]) -> None:
        if "ready" in message["content"].get("text", ""):
            manager.interrupt_kernel()

    reply = client.execute_interactive(code, timeout=3 * PATIENCE, output_hook=hook)
    return str(reply["content"].get("ename"))


def test_interrupting_a_cell_gives_up_its_calls_and_no_others(
    manager: KernelManager, kernel: BlockingKernelClient
) -> None:
    printed(kernel, BEGIN)
    assert interrupted(manager, kernel, BLOCKED) == "KeyboardInterrupt"
    assert printed(kernel, "[each.cancelled() for each in (*made, kept, earlier)]") == str(
        [True, True, False, False]
    )
    assert interrupted(manager, kernel, AWAITING) in ("CancelledError", "KeyboardInterrupt")
    printed(kernel, "done, not_done = cb.wait([awaited, aside], timeout=60)")
    assert printed(kernel, "[each.cancelled() for each in (awaited, aside)]") == "[True, True]"
    assert printed(kernel, "kept.cancelled(), earlier.cancelled()") == "(False, False)"
    assert printed(kernel, "cb.gather(double.map([1, 2])), await double(4)") == "([2, 4], 8)"
    printed(kernel, "kept.cancel(), earlier.cancel()")


ASKING = """
import threading
told = threading.Event()
def tell(future):
    print("late:", future.get(), flush=True)
    told.set()
double(cb.ref("gate")).add_done_callback(tell)
"""


def test_what_a_callback_prints_is_in_the_cell_that_asked_for_it(kernel: BlockingKernelClient) -> None:
    printed(kernel, BEGIN)
    asking = kernel.execute(ASKING)
    answering = kernel.execute("cb.put('gate', 4); told.wait(60); print('mine', flush=True)")
    texts: dict[str, str] = {}
    while "mine" not in texts.get(answering, ""):
        message = kernel.get_iopub_msg(timeout=2 * PATIENCE)
        cell, text = message["parent_header"]["msg_id"], message["content"].get("text", "")
        if text:
            texts[cell] = texts.get(cell, "") + text
    assert texts == {asking: "late: 8\n", answering: "mine\n"}
    printed(kernel, "earlier.cancel()")


@pytest.mark.parametrize(
    ("end", "how"), [(by_restart, "was restarted"), (by_crash, "before this one was killed")]
)
def test_after_a_restart_the_next_kernel_says_what_ended(
    manager: KernelManager,
    kernel: BlockingKernelClient,
    tmp_path: Path,
    end: Callable[[KernelManager, Any], None],
    how: str,
) -> None:
    printed(kernel, BEGIN)
    end(manager, kernel)
    kernel.wait_for_ready(timeout=2 * PATIENCE)
    said = printed(kernel, "import cloudburst_nb as cb; client = cb.up(executors=2)")
    assert said.startswith(f"The kernel {how}")
    assert "its runtime ended with it: nothing of it is left." in said
    assert said.endswith("Run the cells again that define nap, double.")
    assert sorted(path.name for path in tmp_path.glob("kernel*")) == [
        "kernel.json",
        "kernel.json.cloudburst-runtime",
    ]
    assert printed(kernel, "cb.down()") == ""
    assert sorted(path.name for path in tmp_path.glob("kernel*")) == ["kernel.json"]
    assert printed(kernel, "client = cb.up(executors=2)") == ""
    pid = manager.provisioner.pid
    by_request(manager, kernel)
    eventually(lambda: not alive(pid), what="the kernel ends")
    assert not list(tmp_path.glob("kernel*cloudburst*")), "a kernel that ends for good leaves no note"


WHEN_IT_WAITS = """
import os, signal, threading
from cloudburst_nb import awaiting
loop = cb.up()._shell.loop
def interrupt():
    while not loop._inside and not awaiting._watches:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
def soon():
    threading.Thread(target=interrupt).start()
def fail(x):
    return 1 / x
fail = cb.function(fail)
"""


def shown_of(client: BlockingKernelClient, code: str) -> str:
    """What a cell that raises shows of that."""
    reply = client.execute_interactive(code, timeout=3 * PATIENCE, output_hook=lambda message: None)
    return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(reply["content"]["traceback"]))


def test_an_interrupted_wait_and_a_remote_error_show_the_lines_of_cells(kernel: BlockingKernelClient) -> None:
    printed(kernel, BEGIN)
    printed(kernel, WHEN_IT_WAITS)
    for waits in ("nap().get()", "cb.gather(nap())", "await nap()", "cb.wait([nap()])"):
        shown = shown_of(kernel, f"soon()\n{waits}")
        assert f"----> 2 {waits}" in shown
        assert "cloudburst" not in shown, shown
        assert "interactiveshell" not in shown, shown
    shown = shown_of(kernel, "fail(0).get()")
    assert re.search(r"Cell In\[2\], line 11, in fail\n    return 1 / x", shown), shown
    assert "/tmp/ipykernel" not in shown
