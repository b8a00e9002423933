"""The connection file: what a client on another host needs to reach a runtime, and to be let in.

Law: this file reads, writes and checks; it opens no connection. Whoever has the file may run code as the
runtime's user, as with a private key of ssh: it is written for its owner alone, and refused if others can
read it.
"""

from __future__ import annotations

import os
import re
import stat

import msgspec

from cloudburst_runtime.errors import RuntimeUnavailable

TICKET_NAME = "connection.json"
TCP = "tcp://"
LISTENING = "listening\n"
"""What a gateway tells the supervisor once it has written the file; anything else is why it has not."""

_address = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
_key = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # 32 bytes, as text in Z85


class Ticket(msgspec.Struct, frozen=True):
    """Where a runtime listens, and the keys of both sides.

    Attributes
    ----------
    address
        ``"tcp://host:port"``.
    server_key
        The runtime's public key: nobody else can pass for it.
    client_key, client_secret
        The one key pair that the runtime lets in.
    path
        The file it was read from, for messages.
    """

    address: str
    server_key: str
    client_key: str
    client_secret: str
    path: str = ""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a TCP address.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> split_address("tcp://127.0.0.1:7000")
    ('127.0.0.1', 7000)
    """
    found = _address.fullmatch(address)
    if found is None or int(found["port"]) > 65_535:
        raise ValueError(f"{address!r} is no TCP address: it looks like tcp://HOST:PORT")
    return found["host"], int(found["port"])


def write_ticket(directory: str, ticket: Ticket) -> str:
    """Write the connection file of the runtime in ``directory``, readable for its owner; returns its path."""
    path = os.path.join(directory, TICKET_NAME)
    fields = {name: value for name, value in msgspec.structs.asdict(ticket).items() if name != "path"}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(fields)) + b"\n")
    return path


def read_ticket(path: str, address: str = "") -> Ticket:
    """The connection file at ``path``.

    Parameters
    ----------
    path
        A file that a runtime wrote, or a copy of it.
    address
        Where the runtime is reached, if not under the address in the file.

    Raises
    ------
    RuntimeUnavailable
        If it cannot be read, others can read it too, it is no connection file, or the address is none.
    """
    if address:
        try:
            split_address(address)
        except ValueError as error:
            raise RuntimeUnavailable(str(error)) from None
    try:
        with open(path, "rb") as file:
            others = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            ticket = msgspec.json.decode(file.read(), type=Ticket)
        split_address(ticket.address)
    except OSError as error:
        raise RuntimeUnavailable(f"the key file {path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise RuntimeUnavailable(
            f"{path} is no connection file of a runtime that listens ({error}): the runtime writes one as "
            f"{TICKET_NAME} into its directory; cloudburst-nb status shows where"
        ) from None
    if others:
        raise RuntimeUnavailable(
            f"the key file {path} can be read by others, who could run code as you: chmod 600 {path}"
        )
    _check_keys(ticket, path)
    return msgspec.structs.replace(ticket, address=address or ticket.address, path=path)


def _check_keys(ticket: Ticket, path: str) -> None:
    for name in ("server_key", "client_key", "client_secret"):
        if _key.fullmatch(getattr(ticket, name)) is None:
            raise RuntimeUnavailable(f"the key file {path} is damaged: its {name} is no key")
