"""The commands that need a runtime: each takes parsed arguments and returns a status.

`up` remembers the address of the runtime that it left running, in a folder that only the user can enter, so
that the other commands find it without being told.
"""

from __future__ import annotations

import argparse
import functools
import os
import signal
import stat
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

import cloudburst_nb
from cloudburst_nb.headless.errors import UsageError
from cloudburst_nb.headless.parameters import parse_value
from cloudburst_runtime.errors import CloudburstError, LatticeMismatch, RuntimeUnavailable

ADDRESS_VARIABLE = "CLOUDBURST_ADDRESS"

cb: Any = cloudburst_nb
"""The public interface; its static types are of no use to a caller that goes by names."""


def up(arguments: argparse.Namespace) -> int:
    """Start a runtime, print its address; stay with it if asked to."""
    with _started(arguments, detach=not arguments.foreground) as client:
        if arguments.foreground:
            _wait_for_end()
        else:
            remember(str(client.address))
    return 0


def serve(arguments: argparse.Namespace) -> int:
    """Start a runtime with an exported package's functions and DAGs, and stay with it."""
    from cloudburst_nb import export

    package = export.load(arguments.directory)
    with _started(arguments, detach=False) as client:
        names = export.register(client, package)
        print(f"serving {', '.join(names)}", flush=True)
        remember(str(client.address))
        try:
            _wait_for_end()
        finally:
            _forget(str(client.address))
    return 0


def _started(arguments: argparse.Namespace, detach: bool) -> Any:
    """The client of a new runtime, whose addresses were printed."""
    options = {
        "executors": arguments.executors,
        "state_dir": arguments.state_dir,
        "stores": arguments.stores,
        "replication": arguments.replication,
        "listen": arguments.listen,
        "seed": arguments.seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    try:
        client = cb.up(**given, detach=detach)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
    print(client.address, flush=True)
    if arguments.listen is not None:
        print(f"{client.addresses[-1]} with key file {client.key_file}", flush=True)
    return client


def store(arguments: argparse.Namespace) -> int:
    """Be a store of a runtime, on another host than it or on the same, until told to end."""
    from cloudburst_runtime.shell.far_store import FarStore
    from cloudburst_runtime.shell.ticket import TCP, read_ticket

    if not arguments.connect.startswith(TCP):
        raise UsageError(
            f"{arguments.connect} is not the address of a runtime that listens, {TCP}HOST:PORT: "
            "a store on the runtime's own host is added with cb.add_store()"
        )
    ticket = read_ticket(arguments.key_file, arguments.connect)
    state_dir = "" if arguments.state_dir is None else os.path.abspath(arguments.state_dir)
    say = functools.partial(print, flush=True)
    handed_over = FarStore(ticket, arguments.memory, say, state_dir).run()
    return 0 if handed_over else 1


def call(arguments: argparse.Namespace) -> int:
    """Call a function or DAG, and print its result."""
    given, named = [], {}
    for text in arguments.values:
        name, equals, value = text.partition("=")
        if equals and name.isidentifier():
            named[name] = parse_value(value)
        else:
            given.append(parse_value(text))
    with connect(arguments.address) as client:
        if arguments.name in client.dags():
            target = client.get_dag(arguments.name)
        else:
            target = client.get_function(arguments.name)
        try:
            value = target(*given, **named).get(timeout=arguments.timeout)
        except CloudburstError:
            raise
        except Exception as error:
            told = "".join(traceback.format_exception(error.__cause__ or error))
            raise CloudburstError(f"{arguments.name}: {type(error).__name__}: {error}\n{told}") from None
    print(value if isinstance(value, str) else repr(value))
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print what a runtime says of itself."""
    with connect(arguments.address) as client:
        print(client.status())
    return 0


def down(arguments: argparse.Namespace) -> int:
    """End a runtime, whoever started it."""
    address = find(arguments.address)
    try:
        cb.connect(address).shutdown()
    except RuntimeUnavailable:
        _forget(address)
        raise
    _forget(address)
    return 0


def _forget(address: str) -> None:
    if recall() == address:
        _memory().unlink(missing_ok=True)


def kv_get(arguments: argparse.Namespace) -> int:
    """Print the value of a key: a string as it is, anything else as Python writes it."""
    with connect(arguments.address) as client:
        value = client.get(arguments.key, version=arguments.version, lattice=arguments.lattice)
    print(_shown(value))
    return 0


def _shown(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def kv_put(arguments: argparse.Namespace) -> int:
    """Set a key."""
    options = {} if arguments.lattice is None else {"lattice": arguments.lattice}
    with connect(arguments.address) as client:
        try:
            client.put(arguments.key, parse_value(_given(arguments.value)), **options)
        except LatticeMismatch:
            raise
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
    return 0


def _given(text: str) -> str:
    """What was given as a value: large ones are piped, for an argument may have no more than 128 KB."""
    return sys.stdin.read().removesuffix("\n") if text == "-" else text


def kv_put_set(arguments: argparse.Namespace) -> int:
    """Add elements to a set."""
    with connect(arguments.address) as client:
        try:
            client.put(arguments.key, {parse_value(element) for element in arguments.elements}, "set")
        except TypeError as error:  # an element that no set can have
            if isinstance(error, LatticeMismatch):
                raise
            raise UsageError(str(error)) from None
    return 0


def kv_get_set(arguments: argparse.Namespace) -> int:
    """Print the elements of a set, in order."""
    with connect(arguments.address) as client:
        value = client.get(arguments.key)
    if not isinstance(value, set | frozenset | list | tuple):
        raise UsageError(f"key {arguments.key!r} has no set but {type(value).__name__}: use `kv get`")
    sys.stdout.writelines(f"{line}\n" for line in sorted(map(_shown, value)))
    return 0


def kv_history(arguments: argparse.Namespace) -> int:
    """Print the versions of a key: number, time, writer, type and size."""
    with connect(arguments.address) as client:
        sys.stdout.writelines(f"{version}\n" for version in client.history(arguments.key))
    return 0


def kv_keys(arguments: argparse.Namespace) -> int:
    """Print the keys, one a line."""
    with connect(arguments.address) as client:
        sys.stdout.writelines(f"{key}\n" for key in client.keys(prefix=arguments.prefix))
    return 0


def kv_delete(arguments: argparse.Namespace) -> int:
    """Delete keys."""
    with connect(arguments.address) as client:
        for key in arguments.key:
            client.delete(key)
    return 0


def kv_replicate(arguments: argparse.Namespace) -> int:
    """Say how many stores keep a key."""
    copies = None if arguments.copies == "default" else parse_value(arguments.copies)
    with connect(arguments.address) as client:
        try:
            client.replicate(arguments.key, copies)
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
    return 0


def kv_nodes(arguments: argparse.Namespace) -> int:
    """Print the processes that keep keys, one a line."""
    with connect(arguments.address) as client:
        stores = client.stores()
    print(f"{'store':8} {'keys':>10} {'bytes':>14} {'operations/s':>14}  host")
    for each in stores:
        rate, host = each.operations_per_s, each.host or "the runtime's"
        host += " (away)" if each.away else ""
        print(f"{each.name:8} {each.keys:10,} {each.nbytes:14,} {rate:14,.1f}  {host}")
    return 0


def kv_stats(arguments: argparse.Namespace) -> int:
    """Print what the store has, each key counted once, and how it is shared."""
    with connect(arguments.address) as client:
        keys = len(client.keys())
        stores = client.stores()
        reply = client._stores()
    print(f"keys: {keys:,}")
    print(f"stores: {len(stores)}")
    print(f"copies: {sum(store.keys for store in stores):,}")
    print(f"bytes: {sum(store.nbytes for store in stores):,}")
    print(f"replication: {reply.replication}")
    for key, factor in sorted(reply.factors.items()):
        print(f"replication of {key}: {factor}")
    return 0


def connect(address: str | None) -> Any:
    """A client of the runtime at ``address``, or of the one that `find` finds."""
    return cb.connect(find(address))


def find(address: str | None) -> str:
    """The address meant: as given, from the environment, or the last one that `up` started.

    Raises
    ------
    UsageError
        If there is none.
    """
    found = address or os.environ.get(ADDRESS_VARIABLE) or recall()
    if not found:
        raise UsageError(
            "no runtime is known: start one with `cloudburst-nb up`, or name its address "
            f"(as an argument, or in {ADDRESS_VARIABLE})"
        )
    return found


def remember(address: str) -> None:
    """Keep ``address`` for the commands to come."""
    memory = _memory()
    memory.parent.mkdir(mode=0o700, exist_ok=True)
    _check_private(memory.parent)
    memory.write_text(address + "\n", encoding="utf-8")


def recall() -> str | None:
    """The address kept last, if any."""
    memory = _memory()
    try:
        _check_private(memory.parent)
        return memory.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def _memory() -> Path:
    home = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(home) / f"cloudburst-nb-cli-{os.getuid()}" / "address"


def _check_private(folder: Path) -> None:
    """Refuse a folder that somebody else may have prepared for us."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UsageError(f"{folder}: not used, since others can enter it; remove it")


def _wait_for_end() -> None:
    """Return on SIGINT, SIGTERM or SIGHUP."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    asked.wait()
