"""Connection files: written for their owner, refused if they are damaged or readable by others."""

from __future__ import annotations

import json
import os

import pytest

from cloudburst_runtime.errors import RuntimeUnavailable
from cloudburst_runtime.shell.ticket import Ticket, read_ticket, split_address, write_ticket

KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
TICKET = Ticket("tcp://127.0.0.1:7000", KEY, KEY, KEY)


@pytest.fixture
def path(tmp_path):
    return write_ticket(str(tmp_path), TICKET)


def test_what_was_written_is_read_and_only_its_owner_can(path):
    assert os.stat(path).st_mode & 0o777 == 0o600
    ticket = read_ticket(path)
    assert (ticket.address, ticket.server_key, ticket.path) == (TICKET.address, KEY, path)
    assert read_ticket(path, "tcp://elsewhere:1").address == "tcp://elsewhere:1"


def test_a_file_that_is_there_is_not_written_over(path):
    with pytest.raises(FileExistsError):
        write_ticket(os.path.dirname(path), TICKET)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_read_or_write_is_refused(path, mode):
    os.chmod(path, mode)
    with pytest.raises(RuntimeUnavailable, match=r"can be read by others.*chmod 600"):
        read_ticket(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no connection file"),
        (b"{}", "no connection file.*server_key|no connection file.*address"),
        (b"\xff\xfe", "no connection file"),
        (b"[1]", "no connection file"),
        ({"address": "tcp://nowhere"}, "no TCP address"),
        ({"address": "unix:/tmp"}, "no TCP address"),
        ({"client_secret": KEY[:-1]}, "damaged: its client_secret"),
        ({"server_key": '"' * 40}, "damaged: its server_key"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(path, content, why):
    if isinstance(content, dict):
        with open(path) as file:
            content = json.dumps({**json.load(file), **content}).encode()
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(RuntimeUnavailable, match=why):
        read_ticket(path)


@pytest.mark.parametrize("address", ["tcp://host:99999", "tcp://host", "host:1"])
def test_of_a_wrong_address_the_file_is_not_blamed(path, address):
    with pytest.raises(RuntimeUnavailable, match=rf"^'{address}' is no TCP address"):
        read_ticket(path, address)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(RuntimeUnavailable, match="No such file"):
        read_ticket(str(tmp_path / "connection.json"))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("tcp://*:0", ("*", 0)),
        ("tcp://[::1]:80", ("[::1]", 80)),
        ("tcp://host.example:65535", ("host.example", 65535)),
    ],
)
def test_addresses(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address",
    ["", "tcp://", "tcp://h", "tcp://h:", "tcp://h:65536", "tcp://a b:1", "tcp://h:1/", "udp://h:1"],
)
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match="tcp://HOST:PORT"):
        split_address(address)
