"""The kernel "Cloudburst (Python 3)": IPython's own, with the magics there from the first cell on.

Law: nothing of a runtime is imported or started here before a cell asks for it. What the kernel adds to
ipykernel is the extension, a banner, and the end: whichever way the kernel ends, its runtime ends too. An
orderly shutdown or restart takes it down before it answers; `exit` and a SIGTERM do so on the way out; after
a SIGKILL the supervisor sees the pipe from this process close.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

EXTENSION = "cloudburst_nb"
BANNER = "Cloudburst: %%cloudburst makes a cell's functions cloud functions, %cloudburst? tells the rest.\n"


class CloudburstKernel(IPythonKernel):
    """ipykernel with the extension loaded, whose runtime ends with it."""

    implementation = "cloudburst"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        shell: Any = self.shell
        shell.banner2 = BANNER
        shell.extension_manager.load_extension(EXTENSION)

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """End the runtime, if one was started, and then the kernel."""
        restarts = sys.modules.get(f"{EXTENSION}.restarts")
        if restart and restarts is not None:
            restarts.expect()
        down()
        told = super().do_shutdown(restart)  # type: ignore[no-untyped-call]
        return dict(await told if hasattr(told, "__await__") else told)


def down() -> None:
    """End this process's runtime, if it has one; never imports what no cell has imported."""
    package = sys.modules.get(EXTENSION)
    if package is not None and package.running():
        package.down()


def main() -> None:
    """Be a kernel: what the kernelspec's command runs."""
    signal.signal(signal.SIGTERM, _leave)
    IPKernelApp.launch_instance(kernel_class=CloudburstKernel)


def _leave(number: int, frame: object) -> None:
    """A SIGTERM ends the process as `exit` does, so that what is to be done at exit is done."""
    raise SystemExit(128 + number)
