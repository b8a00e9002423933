"""The relay's core: who may speak, to whom, and what becomes of channels."""

from __future__ import annotations

import pytest

from cloudburst_runtime.shell.relay import (
    CALLED,
    CHANNELS_MAX,
    DATA,
    HELLO,
    LOST,
    OPEN,
    PROTOCOL,
    REFUSED,
    SERVE,
    SHUT,
    WELCOME,
    Accept,
    Arrived,
    Called,
    Connect,
    Departed,
    Disconnect,
    Ended,
    Listen,
    Pass,
    RelayCore,
    Report,
    Said,
    Tell,
    Unlisten,
    Unserved,
)

ROUTE = b"r1"


@pytest.fixture
def core():
    made = RelayCore(b"config", "3.12")
    assert say(made, HELLO, PROTOCOL, b"3.12") == [Tell(ROUTE, [WELCOME, b"config"])]
    return made


def say(core, *frames, route=ROUTE):
    return core.handle(Arrived(route, list(frames)))


def test_a_channel_carries_bytes_both_ways_until_it_is_shut(core):
    assert say(core, OPEN, b"1", b"node") == [Connect(ROUTE, b"1", "node")]
    assert say(core, DATA, b"1", b"there") == [Pass(ROUTE, b"1", b"there")]
    assert core.handle(Said(ROUTE, b"1", b"back")) == [Tell(ROUTE, [DATA, b"1", b"back"])]
    assert say(core, SHUT, b"1") == [Disconnect(ROUTE, b"1")]
    assert say(core, SHUT, b"1") == []
    assert say(core, DATA, b"1", b"late") == []
    assert core.handle(Said(ROUTE, b"1", b"late")) == []


def test_the_loss_of_a_peer_is_told_once_and_the_channel_is_gone(core):
    say(core, OPEN, b"1", b"e3")
    lost = Ended(ROUTE, b"1", "the process ended")
    assert core.handle(lost) == [Tell(ROUTE, [LOST, b"1", b"the process ended"])]
    assert core.handle(lost) == []
    assert say(core, DATA, b"1", b"late") == []
    assert say(core, OPEN, b"2", b"e3") == [Connect(ROUTE, b"2", "e3")]


def test_a_client_that_departs_takes_its_connections_along_and_nobody_elses(core):
    say(core, HELLO, PROTOCOL, b"3.12", route=b"r2")
    say(core, OPEN, b"1", b"node")
    say(core, OPEN, b"2", b"e1")
    say(core, OPEN, b"1", b"node", route=b"r2")
    assert core.handle(Departed(ROUTE)) == [Disconnect(ROUTE, b"1"), Disconnect(ROUTE, b"2")]
    assert core.handle(Departed(ROUTE)) == []
    assert core.handle(Said(b"r2", b"1", b"x")) == [Tell(b"r2", [DATA, b"1", b"x"])]
    assert list(core.clients) == [b"r2"]


@pytest.mark.parametrize(
    "peer", [b"", b"../other/node", b"supervisor", b"config.json", b"node/", b"e", b"c1", b"e1\n", b"\xff"]
)
def test_only_the_node_and_executors_can_be_reached(core, peer):
    assert say(core, OPEN, b"1", peer) == [Tell(ROUTE, [LOST, b"1", b"there is no such peer"])]
    assert say(core, DATA, b"1", b"x") == []


def test_a_channel_cannot_be_opened_twice_nor_too_many(core):
    for number in range(CHANNELS_MAX):
        assert type(say(core, OPEN, b"%d" % number, b"e1")[0]) is Connect
    for number in (b"0", b"9999"):
        assert say(core, OPEN, number, b"e1")[0].frames[0] == LOST
    assert len(core.clients[ROUTE]) == CHANNELS_MAX


def test_who_has_not_introduced_itself_reaches_nobody():
    core = RelayCore(b"config", "3.12")
    assert say(core, OPEN, b"1", b"node")[0].frames[0] == REFUSED
    assert say(core, DATA, b"1", b"x") == []
    assert say(core, SHUT, b"1") == []
    assert core.clients == {}


@pytest.mark.parametrize(
    ("protocol", "python", "why"),
    [
        (b"0", b"3.12", "another version of cloudburst-nb"),
        (PROTOCOL, b"3.11", "Python 3.12 and this is Python 3.11"),
    ],
)
def test_a_client_that_could_not_be_understood_is_told_so(protocol, python, why):
    core = RelayCore(b"config", "3.12")
    (told,) = say(core, HELLO, protocol, python)
    assert told.frames[0] == REFUSED
    assert why in told.frames[1].decode()
    assert core.clients == {}


@pytest.mark.parametrize("frames", [[], [b"?"], [HELLO], [b"", b"", b"", b""], [OPEN, b"1"]])
def test_nonsense_is_refused_and_changes_nothing(core, frames):
    assert say(core, *frames)[0].frames[0] == REFUSED
    assert core.clients == {ROUTE: {}}


# ---------------------------------------------------------------- stores on other hosts


def serving(core):
    say(core, OPEN, b"1", b"node")
    assert say(core, SERVE, b"s4") == [Listen(ROUTE, "s4")]
    return core


def test_what_peers_open_to_a_store_elsewhere_are_channels_as_any(core):
    serving(core)
    assert core.handle(Called(ROUTE)) == [Tell(ROUTE, [CALLED, b"-1"]), Accept(ROUTE, b"-1")]
    assert core.handle(Called(ROUTE)) == [Tell(ROUTE, [CALLED, b"-2"]), Accept(ROUTE, b"-2")]
    assert core.handle(Said(ROUTE, b"-1", b"hello")) == [Tell(ROUTE, [DATA, b"-1", b"hello"])]
    assert say(core, DATA, b"-1", b"back") == [Pass(ROUTE, b"-1", b"back")]
    assert say(core, SHUT, b"-1") == [Disconnect(ROUTE, b"-1")]
    assert core.handle(Ended(ROUTE, b"-2", "gone")) == [Tell(ROUTE, [LOST, b"-2", b"gone"])]
    assert core.handle(Called(ROUTE))[1] == Accept(ROUTE, b"-3")


def test_a_lost_store_is_cut_off_from_all_before_its_end_is_reported_once(core):
    serving(core)
    core.handle(Called(ROUTE))
    core.handle(Called(ROUTE))
    *cut, report = core.handle(Departed(ROUTE))
    assert cut[0] == Unlisten(ROUTE, "s4")
    assert cut[1:] == [Disconnect(ROUTE, channel) for channel in (b"1", b"-1", b"-2")]
    assert (type(report), report.name) == (Report, "s4")
    assert core.handle(Departed(ROUTE)) == []
    assert say(core, DATA, b"1", b"what it sent before it knew") == []
    assert say(core, DATA, b"-1", b"an answer") == []
    assert say(core, OPEN, b"2", b"e1")[0].frames[0] == REFUSED


@pytest.mark.parametrize("name", [b"", b"node", b"e1", b"s", b"s1/x", b"../s1", b"s1\n", b"\xff", b"gateway"])
def test_only_names_of_stores_are_served(core, name):
    assert say(core, SERVE, name)[0].frames[0] == REFUSED
    assert core.serving == {}


def test_one_name_is_served_by_who_is_known_and_can_be_listened_for(core):
    assert say(serving(core), SERVE, b"s5")[0].frames[0] == REFUSED
    assert say(core, SERVE, b"s6", route=b"r9")[0].frames[0] == REFUSED
    assert core.handle(Unserved(ROUTE, "taken")) == [Tell(ROUTE, [REFUSED, b"taken"])]
    assert core.handle(Departed(ROUTE)) == [Disconnect(ROUTE, b"1")]


def test_a_store_elsewhere_has_no_more_channels_than_a_client(core):
    serving(core)
    for _ in range(CHANNELS_MAX - 1):
        core.handle(Called(ROUTE))
    assert core.handle(Called(ROUTE)) == [Accept(ROUTE, None)]
