"""What users call a runtime by, turned into what a client connects to.

Law: this file looks at texts and files; it connects to nothing.
"""

from __future__ import annotations

import os

from cloudburst_nb.errors import RuntimeUnavailable
from cloudburst_runtime.shell.client import SCHEME, ClientShell
from cloudburst_runtime.shell.ticket import TCP, TICKET_NAME, Ticket, read_ticket


def find(given: object, key_file: str | os.PathLike[str] | None = None) -> str | Ticket:
    """The directory of a runtime on this host, or the connection file of one on another.

    Raises
    ------
    RuntimeUnavailable
        If it is no address, or the connection file cannot be used.
    ValueError
        If a key file is given with an address that needs none.

    Examples
    --------
    >>> find("unix:/tmp/cloudburst-nb-1000/r1")
    '/tmp/cloudburst-nb-1000/r1'
    """
    address = os.fspath(given) if isinstance(given, str | os.PathLike) else ""
    if address.startswith(TCP):
        if key_file is None:
            raise RuntimeUnavailable(
                f"a TCP address needs a key: cb.connect({address!r}, key_file=…) with a copy of the "
                "connection file that cloudburst-nb status shows on the runtime's host"
            )
        return read_ticket(os.fspath(key_file), address)
    if key_file is not None:
        raise ValueError(f"a key file goes with a {TCP} address, not with {address!r}")
    if address.startswith(SCHEME):
        return address.removeprefix(SCHEME)
    if os.path.isfile(address):
        return read_ticket(address)
    raise RuntimeUnavailable(
        f"{given!r} is no address: it looks like {SCHEME}/tmp/…, or {TCP}HOST:PORT, or is the path of a "
        "connection file; cloudburst-nb status lists what runs"
    )


def listening(shell: ClientShell) -> Ticket | None:
    """The connection file of a runtime that listens for other hosts."""
    if isinstance(shell.where, Ticket):
        return shell.where
    return read_ticket(os.path.join(shell.where, TICKET_NAME)) if shell.core.config.listen else None
