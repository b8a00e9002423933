"""Telling whoever runs this notebook headless how many calls have ended: a small file that is kept current.

Law: the file is written at the end of each cell, and every half second while something has changed; it is
whole or the one before. Without somebody who asks for it, this file is never loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from typing import Any

from cloudburst_nb import runtimes

PERIOD_S = 0.5


class Teller:
    """Writes the counts of the client in use, by function and DAG.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._told: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, shell: Any) -> None:
        """Tell from now on."""
        shell.events.register("post_run_cell", lambda *_: self.tell())
        threading.Thread(target=self._run, name="cloudburst-teller", daemon=True).start()

    def tell(self) -> None:
        """Write the file, if it would say something new."""
        client = runtimes.state.current
        if client is None:
            return
        counts = client._journal.counts()
        with self._lock, contextlib.suppress(OSError):  # whoever asked may be gone
            if counts != self._told:
                with open(f"{self.path}.new", "w", encoding="utf-8") as file:
                    json.dump(counts, file)
                os.replace(f"{self.path}.new", self.path)
                self._told = counts

    def _run(self) -> None:
        while True:
            time.sleep(PERIOD_S)
            self.tell()
