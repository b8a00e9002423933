"""Answers that change nothing: what is registered, and how the runtime is."""

from __future__ import annotations

import msgspec

from cloudburst_runtime.config import Config
from cloudburst_runtime.errors import CloudburstError
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Describe, Description, ExecutorStatus, StatusReply
from cloudburst_runtime.scheduler.pool import Pool
from cloudburst_runtime.scheduler.registry import Registry


def describe(registry: Registry, message: Describe) -> Description:
    """A function without its payload, a DAG, or the names of all.

    Raises
    ------
    FunctionNotFound, DagNotFound
        If there is none of that name.
    """
    reply = Description(message.req)
    if message.what == "function":
        reply.function = msgspec.structs.replace(registry.latest(message.name), payload=b"")
    elif message.what == "dag":
        reply.dag = registry.dag(message.name)
    elif message.what == "functions":
        reply.names = sorted(registry.functions)
    elif message.what == "dags":
        reply.names = sorted(registry.dags)
    else:
        raise CloudburstError(f"cannot describe {message.what!r}: function, dag, functions or dags")
    return reply


def status(
    req: int, config: Config, registry: Registry, pool: Pool, store: tuple[int, int], clients: list[PeerName]
) -> StatusReply:
    """How the runtime is; ``store`` is its number of keys and their bytes."""
    executors = [
        ExecutorStatus(e.name, e.pid, e.host, e.gpus, e.queued, e.running, sorted(e.pins))
        for e in pool.ready()
    ]
    functions = {name: max(versions) for name, versions in registry.functions.items()}
    return StatusReply(
        req,
        config.name,
        executors,
        functions,
        sorted(registry.dags),
        *store,
        clients,
        config.policy,
        config.state_dir,
        registry.damage,
    )
