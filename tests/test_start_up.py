"""What is imported when, while a runtime starts."""

from __future__ import annotations

import json
import subprocess
import sys

PARTING = """
import importlib, json, os, sys
from cloudburst_runtime.launch import zygote
for name in zygote.SHARED:
    importlib.import_module(name)
shared = set(sys.modules)
own = {}
for name, modules in (("node", ["cloudburst_runtime.shell.node"]), ("executor", zygote.PRELOADED)):
    read, write = os.pipe()
    if os.fork() == 0:
        for each in modules:
            importlib.import_module(each)
        os.write(write, json.dumps(sorted(set(sys.modules) - shared)).encode())
        os._exit(0)
    os.close(write)
    own[name] = json.loads(open(read).read())
    os.wait()
print(json.dumps(own))
"""


def parting() -> dict[str, list[str]]:
    """What the node imports after it has been forked, and what the supervisor does then for the executors."""
    done = subprocess.run([sys.executable, "-c", PARTING], check=True, stdout=subprocess.PIPE)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_what_node_and_executors_both_need_is_imported_before_they_part() -> None:
    own = parting()
    assert "cloudburst_runtime.scheduler.core" in own["node"]
    assert "numpy" in own["executor"]
    assert "cloudburst_runtime.executor.core" in own["executor"]
    assert not set(own["node"]) & set(own["executor"])
