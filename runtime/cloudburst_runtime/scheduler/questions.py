"""Answers that change nothing: what is registered, and how the runtime is."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from cloudburst_runtime.config import Config
from cloudburst_runtime.errors import CloudburstError, FunctionNotFound
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Describe, Description, ExecutorStatus, FunctionSpec, Runs, StatusReply
from cloudburst_runtime.scheduler.pool import Pool
from cloudburst_runtime.scheduler.registry import Registry

Stored: TypeAlias = tuple[int, int, dict[PeerName, str]]
"""What the stores have, in keys and bytes, and which of them are on which other hosts."""

VERSIONS_DESCRIBED_MAX = 50
"""Of one function, the latest: each comes with its text."""


def describe(registry: Registry, message: Describe) -> Description:
    """A function or its versions without the payload, one version with it, its runs, a DAG, or all names.

    Raises
    ------
    FunctionNotFound, DagNotFound
        If there is none of that name.
    """
    reply = Description(message.req)
    if message.what == "function":
        reply.function = _light(registry.latest(message.name))
    elif message.what == "versions":
        registry.latest(message.name)
        kept = sorted(registry.functions[message.name].items())
        reply.versions = [_light(spec) for _, spec in kept[-VERSIONS_DESCRIBED_MAX:]]
    elif message.what == "runs":
        registry.latest(message.name)
        reply.runs = registry.runs.get(message.name, Runs(message.name))
    elif message.what == "version":
        reply.function = _version(registry, message.name, message.version)
    elif message.what == "dag":
        reply.dag = registry.dag(message.name)
    elif message.what == "functions":
        reply.names = sorted(registry.functions)
    elif message.what == "dags":
        reply.names = sorted(registry.dags)
    else:
        raise CloudburstError(
            f"cannot describe {message.what!r}: function, versions, version, runs, dag, functions or dags"
        )
    return reply


def _light(spec: FunctionSpec) -> FunctionSpec:
    return msgspec.structs.replace(spec, payload=b"")


def _version(registry: Registry, name: str, version: int) -> FunctionSpec:
    latest, spec = registry.latest(name), registry.version(name, version)
    if spec is None:
        kept = ", ".join(f"v{number}" for number in sorted(registry.functions[name])[-20:])
        raise FunctionNotFound(
            f"version {version} of {name!r} is not kept; the latest is v{latest.version}, kept are {kept}"
        )
    return spec


def status(
    req: int, config: Config, registry: Registry, pool: Pool, stored: Stored, clients: list[PeerName]
) -> StatusReply:
    """How the runtime is."""
    keys, nbytes, afar = stored
    executors = [
        ExecutorStatus(e.name, e.pid, e.host, e.gpus, e.queued, e.running or e.doing, sorted(e.pins))
        for e in pool.ready()
    ]
    functions = {name: max(versions) for name, versions in registry.functions.items()}
    return StatusReply(
        req,
        config.name,
        executors,
        functions,
        sorted(registry.dags),
        keys,
        nbytes,
        clients,
        config.policy,
        config.state_dir,
        registry.damage,
        afar,
    )
