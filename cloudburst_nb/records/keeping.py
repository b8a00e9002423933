"""From what the protocol says of a call to what a log keeps of it.

Law: each value is looked into once, for its content; equal contents are kept once. A value that cannot be
decoded here is kept all the same, as bytes. What is kept goes to the `Log` that is given; nothing else is
touched.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

import msgspec

from cloudburst_nb.capturing import survey
from cloudburst_nb.content import Content, content_of, digest_of, pack_tree
from cloudburst_nb.records.folder import Log
from cloudburst_nb.records.format import (
    Function,
    Kept,
    KeptArgs,
    KeptFailure,
    KeptLattice,
    KeptSeen,
    KeptStep,
)
from cloudburst_nb.records.showing import show
from cloudburst_runtime.lattices import LWW, AnyLattice
from cloudburst_runtime.lattices.wrap import detached, is_lost, plain, reveal
from cloudburst_runtime.messages import Args, Failure, FunctionSpec, Seen, Step
from cloudburst_runtime.values import Value, decode

LOST = Kept("lost")
"""A value in shared memory that was given to another value before it could be looked into."""

_pack = msgspec.msgpack.Encoder().encode


class Keeper:
    """Keeps values, and what is made of them.

    Parameters
    ----------
    log
        Long parts go there.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._by_content: dict[str, Kept] = {}
        self._by_place: dict[tuple[object, ...], Kept] = {}

    # ------------------------------------------------------------ values

    def value(self, value: Value) -> Kept:
        """A value; what lies in shared memory is looked into once, however many calls read it."""
        if value.shared is None:
            return self._value(value, value.buffers)
        if value.shared.held is None:
            return LOST
        place = (value.data, value.shared.arena, value.shared.segment, value.shared.generation)
        known = self._by_place.get(place)
        if known is None:
            known = self._by_place[place] = self._value(value, value.shared.views())
        return known

    def _value(self, value: Value, buffers: list[memoryview]) -> Kept:
        digest = self._digest(value, buffers)
        kept = self._by_content.get(digest)
        if kept is None:
            kept = Kept(digest, [self._log.keep(value.data), *map(self._log.keep, buffers)])
            if any(isinstance(part, str) for part in kept.parts):
                self._by_content[digest] = kept
        return kept

    @staticmethod
    def _digest(value: Value, buffers: Iterable[memoryview]) -> str:
        try:
            return content_of(decode(value.frozen())).digest
        except Exception:  # it needs something that is not here
            return "bytes:" + digest_of(b"".join((value.data, *buffers)))

    def optional(self, value: Value | None) -> Kept | None:
        """A value, if there is one."""
        return None if value is None else self.value(value)

    def content(self, content: Content) -> Any:
        """The packed tree of a content, as a part; its long data is kept too."""
        self._log.keep_blobs(content.blobs)
        return self._log.keep(pack_tree(content.tree))

    # ------------------------------------------------------------ the store

    def lattice(
        self, lattice: AnyLattice | None, version: dict[str, int] | None = None
    ) -> KeptLattice | None:
        """What a key held."""
        if lattice is None:
            return None
        kind, version = type(lattice).__name__, version or {}
        if isinstance(lattice, LWW):
            return KeptLattice(kind, self.value(lattice.value), b"", lattice.stamp, lattice.writer, version)
        if is_lost(lattice):
            return KeptLattice(kind, LOST, version=version)
        bare = detached(plain(lattice))
        return KeptLattice(kind, self._revealed(bare), self._log.keep(_pack([bare])), version=version)

    @staticmethod
    def _revealed(lattice: AnyLattice) -> Kept:
        """The digest of what a user sees of a lattice, which is made anew from the lattice itself."""
        try:
            return Kept(content_of(reveal(lattice)).digest)
        except Exception:
            return Kept("bytes:" + digest_of(_pack([lattice])))

    def seen(self, seen: Seen) -> KeptSeen:
        """What user code was told."""
        versions = [*seen.versions, *[None] * len(seen.lattices)]
        lattices = [
            self.lattice(each, version) for each, version in zip(seen.lattices, versions, strict=False)
        ]
        mail = [(sender, self.value(body)) for sender, body in seen.mail]
        return KeptSeen(seen.kind, seen.keys, lattices, mail, seen.at, seen.text, self.failure(seen.failure))

    # ------------------------------------------------------------ calls

    def args(self, args: Args) -> KeptArgs:
        """The fixed arguments of a node."""
        return KeptArgs(
            self.value(args.value),
            [(ref.slot, ref.key) for ref in args.refs],
            [(inline.slot, self.value(inline.value)) for inline in args.inline],
        )

    def failure(self, failure: Failure | None) -> KeptFailure | None:
        """Why something failed."""
        if failure is None:
            return None
        return KeptFailure(failure.kind, failure.message, failure.traceback, self.optional(failure.exception))

    def step(self, step: Step, functions: list[tuple[str, int]]) -> KeptStep:
        """What one function did; ``functions`` are those of the plan, for a step without a witness."""
        kept = KeptStep(
            step.node,
            step.executor,
            step.ready,
            step.started,
            step.ended,
            *functions[step.node],
            stdout=step.stdout,
            stderr=step.stderr,
        )
        witness = step.witness
        if witness is not None:
            kept.function, kept.version, kept.inputs = witness.function, witness.version, witness.inputs
            kept.refs = [self.lattice(each) for each in witness.refs]
            kept.seen = [self.seen(each) for each in witness.seen]
            kept.value, kept.failure = self.optional(witness.value), self.failure(witness.failure)
            kept.place, kept.size, kept.built = witness.place, witness.size, self.optional(witness.built)
        return kept

    # ------------------------------------------------------------ functions

    def function(self, client: int, spec: FunctionSpec, version: int) -> Function:
        """A registration."""
        captured, made = self._captured(spec)
        digest = digest_of(pack_tree([spec.kind, spec.source or made, [list(each[:2]) for each in captured]]))
        payload = self.value(Value(spec.payload)) if spec.payload else Kept("")
        return Function(
            client, spec.name, version, digest, spec.source, spec.kind, payload, captured,
            spec.signature, spec.library, spec.library_init, spec.retries, spec.timeout, spec.batching,
            spec.gpu, spec.cells,
        )  # fmt: skip

    @staticmethod
    def _captured(spec: FunctionSpec) -> tuple[list[tuple[str, str, str]], str]:
        """What a function carries along, by name; and the digest of its own code."""
        try:
            loaded = pickle.loads(spec.payload)
        except Exception:
            return [], digest_of(spec.payload)
        raw, given = (loaded[0], loaded[1:]) if spec.kind == "class" else (loaded, None)
        variables = [(variable.name, variable.value) for variable in survey(raw).variables]
        if given is not None:
            variables.append(("__init__", given))
        contents = {name: content_of(value) for name, value in variables}
        found = [(name, content.digest, show(content.tree)) for name, content in contents.items()]
        return found, content_of(raw).digest
