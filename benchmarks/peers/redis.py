"""Redis as a store: redis-py against a redis-server that is started here, if there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from typing import Any, ClassVar

import numpy

from benchmarks import work
from benchmarks.contender import Contender
from benchmarks.measure import Probe, timed

READY_SECONDS_MAX = 10.0


class Redis(Contender):
    """A server of its own, on a unix socket in a directory of its own."""

    label: ClassVar[str] = "Redis"
    how: ClassVar[str] = (
        "redis-py with hiredis over a unix socket, persistence off; arrays as their raw bytes, read as "
        "views; the counter is INCR from the client"
    )
    module: ClassVar[str] = "redis"
    distribution: ClassVar[str] = "redis"

    def start(self) -> None:
        import redis

        binary = shutil.which("redis-server")
        if binary is None:
            raise FileNotFoundError("there is no redis-server on this machine")
        self.directory = tempfile.mkdtemp(prefix="cbr")
        path = os.path.join(self.directory, "socket")
        options = [
            "--port",
            "0",
            "--unixsocket",
            path,
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            self.directory,
        ]
        self.server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        self.client: Any = redis.Redis(unix_socket_path=path)
        enough = time.monotonic() + READY_SECONDS_MAX
        while not os.path.exists(path):
            if time.monotonic() > enough or self.server.poll() is not None:
                raise RuntimeError("redis-server did not open its socket")
            time.sleep(0.01)
        self.client.ping()

    def stop(self) -> None:
        if hasattr(self, "client"):
            self.client.close()
        if hasattr(self, "server"):
            self.server.terminate()
            self.server.wait()
        if hasattr(self, "directory"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def counter(self) -> Probe:
        return timed(lambda: self.client.incr("counter"))

    def put(self, size: int) -> Probe:
        value = work.value_of(size)
        sent = value if isinstance(value, bytes) else memoryview(value).cast("B")
        return timed(lambda: self.client.set(f"value{size}", sent))

    def get(self, size: int) -> Probe:
        value = work.value_of(size)
        self.client.set(f"value{size}", value if isinstance(value, bytes) else value.tobytes())
        if isinstance(value, bytes):
            return timed(lambda: self.client.get(f"value{size}"), expect=value)
        return timed(lambda: numpy.frombuffer(self.client.get(f"value{size}")))
