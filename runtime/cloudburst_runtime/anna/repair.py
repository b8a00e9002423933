"""Which parts of the store are still to be compared with whom.

Law: names and times only. A part is compared with its sources one after the other: what the first of them
sends, the next ones need not send again. With each, the digests of many parts at once come first, and then,
one by one, the parts that differ. Whatever is asked is asked again until it is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cloudburst_runtime.anna.ring import Part
from cloudburst_runtime.ids import Millis, PeerName

PARTS_MAX = 256
"""Parts whose digests are compared with one message."""

PARTS_MIN = 64
"""While entries are asked for, so many parts gather before the next source is asked for their digests."""

DIFFERING_MAX = 8
"""Parts that differ, of which entries are asked for at the same time."""


class Question(NamedTuple):
    """Ask ``source`` about these parts: whether their digests are ``same``, or else what we lack."""

    source: PeerName
    parts: list[Part]
    same: bool


class Repair:
    """What one store has yet to compare.

    Attributes
    ----------
    handover
        Whether parts that have changed hands are among them.

    Examples
    --------
    >>> repair = Repair(resend_ms=1000.0)
    >>> repair.begin({7: ["s2", "s3"], 8: ["s2"]})
    >>> repair.next(now=0.0)
    [Question(source='s2', parts=[7, 8], same=True)]
    >>> repair.answered("s2", same=[8], differing=[7])
    >>> repair.next(now=5.0), repair.due, repair.lacks(8)
    ([Question(source='s2', parts=[7], same=False)], 1005.0, [])
    >>> repair.answered("s2", same=[7])
    >>> repair.next(now=9.0), repair.lacks(7)
    ([Question(source='s3', parts=[7], same=True)], ['s3'])
    """

    def __init__(self, resend_ms: Millis) -> None:
        self.handover = False
        self._resend_ms = resend_ms
        self._todo: dict[Part, list[PeerName]] = {}
        self._unasked: dict[PeerName, dict[Part, None]] = {}  # of which digests are to be compared
        self._differing: dict[Part, None] = {}  # of which entries are to be asked for
        self._dues: dict[Part, Millis] = {}  # under way
        self._fully: dict[Part, None] = {}  # of these, the ones of which entries were asked for

    def begin(self, todo: Mapping[Part, Sequence[PeerName]]) -> None:
        """Begin anew, with the parts that have changed hands."""
        for each in (self._todo, self._unasked, self._differing, self._dues, self._fully):
            each.clear()
        for part, sources in todo.items():
            self.add(part, sources)
        self.handover = bool(self._todo)

    def add(self, part: Part, sources: Sequence[PeerName]) -> None:
        """Compare this part, too, unless it is compared already."""
        if part not in self._todo and sources:
            self._todo[part] = list(sources)
            self._unasked.setdefault(sources[0], {})[part] = None

    def next(self, now: Millis) -> list[Question]:
        """What to ask now."""
        questions: list[Question] = []
        for source in [source for source in self._unasked if self._is_worth_asking(source)]:
            names = list(self._unasked.pop(source))
            starts = range(0, len(names), PARTS_MAX)
            questions += [Question(source, names[start : start + PARTS_MAX], True) for start in starts]
        while self._differing and len(self._fully) < DIFFERING_MAX:
            part = next(iter(self._differing))
            del self._differing[part]
            self._fully[part] = None
            questions.append(Question(self._todo[part][0], [part], False))
        for question in questions:
            self._dues.update(dict.fromkeys(question.parts, now + self._resend_ms))
        return questions

    def _is_worth_asking(self, source: PeerName) -> bool:
        return len(self._unasked[source]) >= PARTS_MIN or not (self._differing or self._fully)

    def is_asked(self, source: PeerName, part: Part) -> bool:
        """Whether this source is asked about this part now."""
        return part in self._dues and self._todo[part][0] == source

    def go_on(self, part: Part, now: Millis) -> Question:
        """The source has sent entries, and has more: ask again."""
        self._dues[part] = now + self._resend_ms
        return Question(self._todo[part][0], [part], False)

    def answered(self, source: PeerName, same: Iterable[Part], differing: Iterable[Part] = ()) -> None:
        """The source has nothing that we lack in the parts that are ``same``."""
        for part in differing:
            if self.is_asked(source, part) and part not in self._fully:
                del self._dues[part]
                self._differing[part] = None
        for part in same:
            if self.is_asked(source, part):
                self._done(part)
        self.handover = self.handover and bool(self._todo)

    def _done(self, part: Part) -> None:
        del self._dues[part]
        self._fully.pop(part, None)
        sources = self._todo[part]
        sources.pop(0)
        if sources:
            self._unasked.setdefault(sources[0], {})[part] = None
        else:
            del self._todo[part]

    def lacks(self, part: Part) -> list[PeerName]:
        """The sources that may have something in the part that we lack."""
        return self._todo.get(part, []) if self.handover else []

    def overdue(self, now: Millis) -> list[Question]:
        """What to ask again."""
        late = [part for part, due in self._dues.items() if due <= now]
        again = [self.go_on(part, now) for part in late if part in self._fully]
        for part in late:
            if part not in self._fully:
                del self._dues[part]
                self._unasked.setdefault(self._todo[part][0], {})[part] = None
        return again + self.next(now)

    @property
    def due(self) -> Millis | None:
        """When to look for what is overdue."""
        return min(self._dues.values(), default=None)
