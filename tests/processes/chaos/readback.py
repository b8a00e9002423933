"""What is there in the end: as a client that knows nothing finds it, and as each store has it.

Law: asks, and says what it was told; ``judge`` says what that means.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from cloudburst_nb.client import Client
from cloudburst_runtime.effects import Received
from cloudburst_runtime.messages import Elsewhere, Entry, Get, GetReply, Hello
from cloudburst_runtime.shell.transport import Hub
from tests.processes.chaos.judge import Found
from tests.processes.chaos.work import name_of

SECONDS_MAX = 60.0
WINDOW = 500
"""Questions to each store that are under way at once."""

READERS: dict[str, Callable[[Client, str], Any]] = {
    "add": lambda client, key: client.get(key, frozenset(), timeout=SECONDS_MAX),
    "soon": lambda client, key: client.get(key, frozenset(), timeout=SECONDS_MAX),
    "count": lambda client, key: client.get(key, 0, timeout=SECONDS_MAX),
    "large": lambda client, key: name_of(client.get(key, None, timeout=SECONDS_MAX)),
    "pair": lambda client, key: client.call("both", (key,), consistency="atomic").get(SECONDS_MAX),
    "once": lambda client, key: client.call("look", (key,), consistency="atomic").get(SECONDS_MAX) or 0,
    "causal": lambda client, key: [sibling[0] for sibling in client.get(key, [], siblings=True)],
}


def found_by(client: Client, keys: Iterable[tuple[str, str]]) -> Found:
    """What a client is shown under these keys, by kind and key."""
    return {(kind, key): READERS.get(kind, _plain)(client, key) for kind, key in keys}


def _plain(client: Client, key: str) -> Any:
    return client.get(key, None, timeout=SECONDS_MAX)


# ---------------------------------------------------------------- each store


def disagreements(client: Client, keys: list[str], copies: int) -> list[str]:
    """The keys of which stores have different values, or which fewer of them keep than must."""
    directory = client.address.removeprefix("unix:")
    stores = [store.name for store in client.stores()]
    if len(stores) == 1:
        return []
    hub = Hub(directory, Hello("c" + uuid.uuid4().hex[:12], "client", os.getpid()))
    try:
        told = [
            each
            for start in range(0, len(keys), WINDOW)
            for each in _compare(_asked(hub, stores, keys[start : start + WINDOW]), copies)
        ]
    finally:
        hub.close()
    return told


def _asked(hub: Hub, stores: list[str], keys: list[str]) -> dict[str, dict[str, Entry | None]]:
    """The entry that each store has of each key that it keeps."""
    questions: dict[int, tuple[str, str]] = {}
    for key in keys:
        for store in stores:
            questions[len(questions)] = (key, store)
            hub.send(store, Get(len(questions) - 1, [key], plain=True))
    entries: dict[str, dict[str, Entry | None]] = {key: {} for key in keys}
    end = time.monotonic() + SECONDS_MAX
    while questions:
        assert time.monotonic() < end, f"{len(questions)} questions to stores are not answered"
        for event in hub.collect(hub.wait(100.0)):
            if type(event) is Received and isinstance(event.message, GetReply | Elsewhere):
                key, store = questions.pop(event.message.req)
                if isinstance(event.message, GetReply):
                    entries[key][store] = event.message.entries[0]
    return entries


def _state(entry: Entry | None) -> Any:
    """What there is; that a key was deleted need not be remembered by all."""
    return None if entry is None or entry.lattice is None else (entry.generation, entry.lattice)


def _compare(entries: dict[str, dict[str, Entry | None]], copies: int) -> list[str]:
    told = []
    for key, by_store in entries.items():
        states = [_state(entry) for entry in by_store.values()]
        if any(state != states[0] for state in states):
            told.append(f"{key}: the stores {', '.join(by_store)} do not agree: {states!r:.600}")
        if len(by_store) < copies:
            told.append(f"{key}: only {', '.join(by_store) or 'nobody'} keeps it, and {copies} must")
    return told
