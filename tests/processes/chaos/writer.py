"""A client process: works until its standard input ends, or until it is killed.

Law: it finds the runtime that is up by the file ``address``, and looks there again whenever that has died.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from pathlib import Path

import cloudburst_nb as cb
from cloudburst_nb.client import Client
from cloudburst_nb.errors import RuntimeUnavailable
from tests.processes.chaos.ledger import Pen
from tests.processes.chaos.work import Work

PIPE, ADDRESS = "pipe", "address"
"""In the directory of a run: the ledger's pipe, and where the runtime is."""
RECONNECT_SECONDS = 0.05


def _connected(place: Path, stopping: threading.Event) -> Client | None:
    while not stopping.is_set():
        try:
            return cb.connect((place / ADDRESS).read_text())
        except RuntimeUnavailable:
            time.sleep(RECONNECT_SECONDS)
    return None


def _stop_at_end(stopping: threading.Event) -> None:
    sys.stdin.read()
    stopping.set()


def main() -> None:
    """``python -m tests.processes.chaos.writer DIRECTORY NAME LEVEL SEED``."""
    directory, name, level, seed = sys.argv[1:]
    place, luck, stopping = Path(directory), random.Random(f"{seed}/{name}"), threading.Event()
    threading.Thread(target=_stop_at_end, args=(stopping,), daemon=True).start()
    connection = 0
    while (client := _connected(place, stopping)) is not None:
        connection += 1
        work = Work(client, Pen(str(place / PIPE), f"{name}.{connection}"), level, luck)
        try:
            while not stopping.is_set():
                work.step()
        except RuntimeUnavailable:
            client.down()
            continue
        client.down()
        return


if __name__ == "__main__":
    main()
