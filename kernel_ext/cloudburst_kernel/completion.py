"""Tab completion after ``%cloudburst`` and ``%%cloudburst``, and of names in calls like ``cb.get_dag("…``.

Law: completing never starts a runtime and never raises; with no runtime there are only the words that
stand in this file and the names in the notebook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloudburst_kernel import client
from cloudburst_kernel.commands import UP_OPTIONS, USAGES
from cloudburst_kernel.line import FLAGS, OPTIONS

FIGURES = ("latency", "breakdown", "timeline", "over-time", "throughput", "compare")

CALLS = {
    "get_function": "functions",
    "get_dag": "dags",
    "delete_dag": "dags",
    "get": "keys",
    "ref": "keys",
    "delete": "keys",
}
CALL = re.compile(
    rf"(?P<owner>[^\W\d]\w*)\.(?P<method>{'|'.join(CALLS)})\(\s*(?P<quote>['\"])(?P<begun>[^'\"]*)$"
)
"""A method that takes a name, with the name begun."""
MAGIC = re.compile(r"\s*(?P<line>%{1,2}cloudburst\s.*)$")
BEGUN = re.compile(r"\S*$")
BEGUN_IN_DAG = re.compile(r"[^\s\[\](),>]*$")
"""In an expression like ``[load,total]>>merge`` names stand beside its signs."""
KEYS_MAX = 1_000
"""No front end shows more."""


def complete(line: str, namespace: Mapping[str, Any]) -> list[str]:
    """What may stand at the end of ``line``, which begins with the magic's name.

    Parameters
    ----------
    line
        The line up to the cursor.
    namespace
        The user's variables; cloud functions among them are offered where a function is meant.

    Examples
    --------
    >>> complete("%cloudburst up --exec", {})
    ['--executors', '--state-dir', '--seed']
    """
    words = line.split()
    if not words or words[0].startswith("%%"):
        return _cell_options(words, line)
    done = words[1:] if line[-1:].isspace() else words[1:-1]
    if not done:
        return list(USAGES)
    return _arguments(done, namespace)


def complete_magic(line: str, namespace: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """What is begun at the end of a magic's line, and what may stand there; None if it is no such line.

    Examples
    --------
    >>> complete_magic("%cloudburst up --ex", {})
    ('--ex', ['--executors'])
    >>> complete_magic("cloudburst", {})
    """
    found = MAGIC.match(line)
    if found is None:
        return None
    pattern = BEGUN_IN_DAG if found["line"].split()[:2] == ["%cloudburst", "dag"] else BEGUN
    begun = pattern.findall(line)[0]
    return begun, [word for word in complete(found["line"], namespace) if word.startswith(begun)]


def complete_call(line: str, namespace: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """What may stand in the quotes at the end of ``line``, and what stands there; None if it is no such call.

    Examples
    --------
    >>> complete_call("print('", {})
    """
    found = CALL.search(line)
    if found is None or not client.is_api(namespace.get(found["owner"])):
        return None
    what = CALLS[found["method"]]
    names = _keys() if what == "keys" else _registered_as(what)
    return found["begun"], [name for name in names if name.startswith(found["begun"])]


def _cell_options(words: list[str], line: str) -> list[str]:
    done = words[1:] if line[-1:].isspace() else words[1:-1]
    if done and done[-1] in OPTIONS and done[-1].removeprefix("--") not in FLAGS:
        return []  # the value of that option
    return [option for option in OPTIONS if option not in done]


def _arguments(done: list[str], namespace: Mapping[str, Any]) -> list[str]:
    command, count = done[0], len(done)
    if command == "up":
        return [] if done[-1] in UP_OPTIONS else [option for option in UP_OPTIONS if option not in done]
    if command in ("list", "call", "plot") and count == 1:
        return _sorted(_registered(dags=True), _handles(namespace))
    if command == "keys" and count == 1:
        return _keys()
    if command == "dag" and count >= 2:
        return _sorted(_registered(dags=False), _handles(namespace))
    if command == "plot":
        return [word for word in (*FIGURES, "--live") if word not in done]
    return []


def _handles(namespace: Mapping[str, Any]) -> list[str]:
    mine = [name for name, value in list(namespace.items()) if client.is_handle(value)]
    return [name for name in mine if not name.startswith("_")]


def _registered(dags: bool) -> list[str]:
    return [*_registered_as("functions"), *(_registered_as("dags") if dags else [])]


def _keys() -> list[str]:
    return _registered_as("keys")[:KEYS_MAX]


def _registered_as(what: str) -> list[str]:
    """The names of all ``functions``, ``dags`` or ``keys``."""
    try:
        api = client.api()
        return list(getattr(api, what)()) if api.running() else []
    except Exception:  # a key press must not end in a traceback
        return []


def _sorted(*lists: list[str]) -> list[str]:
    return sorted({name: None for names in lists for name in names})
