"""The loop over a core that says what it is told to: what is carried out, in which order, and who reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudburst_runtime.effects import Received, Record, Send
from cloudburst_runtime.messages import Done, Hello
from cloudburst_runtime.shell.loop import Loop
from cloudburst_runtime.shell.transport import Hub


class Act(Record, frozen=True):
    """An effect of the test's own."""

    name: str


class Say(Record, frozen=True):
    """An event that the core answers with these effects."""

    effects: list[Any]


class Echo:
    """A core that says what an event has for it, and remembers the events."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def start(self, now: float) -> list[Any]:
        return []

    def handle(self, event: Any, now: float) -> list[Any]:
        self.events.append(event)
        return list(event.effects) if isinstance(event, Say) else []


class Roll(Echo):
    """A core that remembers which threads have brought it events."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[str] = []

    def handle(self, event: Any, now: float) -> list[Any]:
        self.readers.append(threading.current_thread().name)
        return []


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(str(tmp_path), Hello("e1", "test"))
    hub.listen()
    yield hub
    hub.close()


@pytest.fixture
def acted() -> list[str]:
    return []


@pytest.fixture
def loop(tmp_path: Path, peer: Hub, acted: list[str]) -> Iterator[Loop]:
    made = Loop(
        Echo(), Hub(str(tmp_path), Hello("c1", "test")), {Act: lambda effect: acted.append(effect.name)}
    )
    yield made
    made.close()


def pending(hub: Hub) -> list[Any]:
    """The messages that have been sent to a hub by now."""
    found: list[Any] = []
    while ready := hub.wait(0.0):
        found += [event.message for event in hub.collect(ready) if isinstance(event, Received)]
    return found


def test_what_is_to_be_sent_has_been_when_the_next_effect_is_carried_out(
    loop: Loop, peer: Hub, acted: list[str]
) -> None:
    seen: list[Any] = []
    loop._carry[Act] = lambda effect: seen.extend([*pending(peer), effect.name])
    loop.post(Say([Send("e1", Done(1)), Send("e1", Done(2)), Act("leave"), Send("e1", Done(3))]))
    assert seen[1:] == [Done(1), Done(2), "leave"]
    assert pending(peer) == [Done(3)]


def test_an_effect_that_fails_does_not_hold_back_what_is_sent_later(loop: Loop, peer: Hub) -> None:
    def fail(effect: Act) -> None:
        raise OSError(effect.name)

    loop._carry[Act] = fail
    with pytest.raises(OSError, match="broken"):
        loop.post(Say([Send("e1", Done(1)), Act("broken"), Send("e1", Done(2))]))
    loop.post(Say([Send("e1", Done(3))]))
    assert pending(peer)[1:] == [Done(1), Done(3)]


def test_several_events_are_handled_before_what_comes_of_them_is_carried_out(
    loop: Loop, peer: Hub, acted: list[str]
) -> None:
    loop.post(Say([Act("a"), Send("e1", Done(1))]), Say([Send("e1", Done(2)), Act("b")]))
    assert acted == ["a", "b"]
    assert pending(peer)[1:] == [Done(1), Done(2)]


class Replaces(Echo):
    """A core that lets go of memory with each message, and then tells somebody."""

    def __init__(self, held: Held) -> None:
        super().__init__()
        self.held = held

    def handle(self, event: Any, now: float) -> list[Any]:
        if isinstance(event, Received):
            self.held.ended.append(event.message)
        return [Act("told")] if isinstance(event, Received) else []

    def handle_all(self, events: list[Any], now: float) -> list[Any]:
        return [effect for event in events for effect in self.handle(event, now)]


class Held:
    """What a process holds of shared memory: notes when it lets go."""

    def __init__(self, acted: list[str]) -> None:
        self.ended: list[Any] = []
        self.acted = acted

    def settle(self) -> None:
        self.ended.clear()
        self.acted.append("free")


@pytest.mark.parametrize("together", [False, True])
def test_memory_that_is_let_go_is_free_before_anybody_is_told(
    loop: Loop, peer: Hub, acted: list[str], monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    held = Held(acted)
    monkeypatch.setattr("cloudburst_runtime.shell.loop.HOLDING", held)
    core = loop.core = Replaces(held)
    loop._together = core.handle_all if together else None
    loop.hub.connect("e1")
    pending(peer)
    peer.send("c1", Done(1))
    assert loop.wait(lambda: bool(acted), deadline=None)
    assert acted == ["free", "told"]


def test_who_looks_again_and_again_reads_in_place_of_the_background_thread(loop: Loop, peer: Hub) -> None:
    core = loop.core = Roll()
    readers = core.readers
    loop.hub.connect("e1")
    pending(peer)
    loop.start_background("background")
    loop.nudge()
    eventually(lambda: "background" in readers, lambda: peer.send("c1", Done(1)))
    eventually(lambda: "MainThread" in readers, lambda: (peer.send("c1", Done(2)), loop.glance()))
    eventually(lambda: readers[-1] == "background", lambda: peer.send("c1", Done(3)))


def eventually(holds: Callable[[], bool], meanwhile: Callable[[], object]) -> None:
    """Do something again and again until a condition holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        meanwhile()
        time.sleep(0.001)
