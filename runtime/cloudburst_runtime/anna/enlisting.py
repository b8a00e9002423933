"""Stores on other hosts that want to join: who may, and under which name; and who of them is remembered.

Law: it says who is let in and why others are not, and what the node's disk must know of those that have a
disk of their own before anybody hears of it. A runtime that keeps its state on disk takes only such stores:
all that was acknowledged is to be found again when every process has been killed.

A store that is started again may be here before it is known that it has ended: then it waits for that.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.anna.durable import Known, known_identity, known_place
from cloudburst_runtime.anna.estates import ESTATES_MAX
from cloudburst_runtime.anna.membership import Membership
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Persist, Send
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Enlisted, Estate, Hello, Papers

Effects = list[Any]

NEEDS_A_DISK = (
    "this runtime has a state_dir, so what it acknowledges must be on disk, here too: start this store with "
    "a --state-dir of its own"
)
NEEDS_NO_DISK = (
    "this runtime keeps its state in memory only, so nothing in a --state-dir would ever be found again: "
    "start this store without one, or the runtime with a state_dir"
)
GIVEN_UP = (
    "the store in this --state-dir was given up here (cb.remove_store), or has handed over all that it had, "
    "so nothing is taken back: start this one with another --state-dir"
)
ANOTHERS = "the store in this --state-dir is one of another runtime: start this one with another --state-dir"


class Enlisting:
    """Who asks to join from other hosts.

    Parameters
    ----------
    config
        For ``state_dir``.
    membership
        Gives the names.
    papers
        The runtime's own: its identity, and which start of it this is.

    Examples
    --------
    >>> enlisting = Enlisting(Config(), Membership(Config()), Papers("", "", ""))
    >>> [send] = enlisting.ask("c1", Hello("c1", "store", host="bee"))
    >>> send.message.name
    's2'
    """

    def __init__(self, config: Config, membership: Membership, papers: Papers) -> None:
        self._config = config
        self._membership = membership
        self._papers = papers
        self._answered: dict[PeerName, Enlisted] = {}
        self._waiting: dict[PeerName, Hello] = {}
        self._recorded: dict[str, Estate] | None = None

    # ------------------------------------------------------------ who asks

    def ask(self, peer: PeerName, hello: Hello) -> Effects:
        """A store wants to join: it gets a name, under which it then says `Hello`, or is told why not."""
        if peer in self._answered:
            return [Send(peer, self._answered[peer])]
        refusal = self._refusal(hello.papers)
        if not refusal and hello.papers is not None and self._is_here(hello.papers.identity):
            self._waiting[peer] = hello
            return []
        answer = Enlisted("", refusal) if refusal else self._enlist(hello)
        self._answered[peer] = answer
        return [Send(peer, answer)]

    def _refusal(self, papers: Papers | None) -> str:
        """Why a store may not join; empty if it may."""
        if not self._config.state_dir:
            return NEEDS_NO_DISK if papers is not None else ""
        if papers is None:
            return NEEDS_A_DISK
        if papers.identity in self._membership.abroad:
            return ""
        if papers.runtime:
            return GIVEN_UP if papers.runtime == self._papers.runtime else ANOTHERS
        if self._membership.abroad.is_full:
            return f"{ESTATES_MAX} stores on other hosts are known here: cb.remove_store gives one up"
        return ""

    def _is_here(self, identity: str) -> bool:
        """Whether a store of this identity is here, as far as we know."""
        estates = self._membership.abroad
        return identity in estates and estates.name(identity) not in estates.away

    def _enlist(self, hello: Hello) -> Enlisted:
        membership = self._membership
        if hello.papers is None:
            return Enlisted(membership.enlist(hello.host))
        name = membership.enlist(hello.host, hello.papers.identity)
        estate = membership.abroad.estate(name)
        return Enlisted(name, "", self._papers.runtime, self._papers.start, estate)

    def lose(self, peer: PeerName) -> PeerName | None:
        """A connection has ended; return the name that was given to whoever asked by it."""
        self._waiting.pop(peer, None)
        answer = self._answered.pop(peer, None)
        return None if answer is None else answer.name or None

    def look(self) -> Effects:
        """A store has ended: perhaps it is here again."""
        waiting, self._waiting = self._waiting, {}
        return [effect for peer, hello in waiting.items() for effect in self.ask(peer, hello)]

    # ------------------------------------------------------------ who is remembered

    def record(self) -> list[Persist]:
        """What the node's disk must know before anybody hears of the present ring."""
        estates = self._membership.abroad
        if not self._recorded and not estates:
            return []
        now, before = estates.records(self._membership.ring), self._recorded or {}
        self._recorded = now
        gone = [Persist(known_place(identity), None) for identity in before if identity not in now]
        changed = [identity for identity, estate in now.items() if before.get(identity) != estate]
        return [
            *gone,
            *(Persist(known_place(each), Known(each, now[each]), moved=True) for each in changed),
        ]

    def unwritten(self, persists: list[Persist]) -> None:
        """Some of this could not be written: it is tried again when the ring is told again."""
        if self._recorded is None:
            return
        for persist in persists:
            if isinstance(persist.record, Known):
                self._recorded.pop(persist.record.identity, None)
            elif (identity := known_identity(persist.place)) is not None:
                self._recorded[identity] = Estate()
