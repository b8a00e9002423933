"""The pages of an LMDB file, read without LMDB: is the file whole, and what can be had if it is not.

Law: this file only reads, and believes nothing that it reads: every offset is checked before it is used.
LMDB itself has no checksums and trusts its pages; a damaged one ends the process that looks at it. So a
file is read here first, and LMDB opens only what was found whole.

The format (``mdb.c`` of 0.9, data version 1; little-endian): pages 0 and 1 are *metas*, of which the one with
the higher transaction number counts. It names the roots of two trees: the free pages, in the order of the
transactions that freed them, and the records, in that of their bytes. A branch page has the first key of each
child, a leaf page keys and values, and a value that is too long for a page lies in *overflow* pages. A page
that is in use is in one of the trees; any other is free, and is listed as such.

If the trees cannot be followed everywhere, the leaves that cannot be reached are looked for: every leaf page
that is not listed as free. What is found there may be older than what is reached; who asked decides.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

Buffer: TypeAlias = memoryview

DATA_NAME = "data.mdb"
"""What the file is called in the directory of a store."""
MAGIC, DATA_VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
BIG = 1  # flag of a node whose value lies in overflow pages
NO_PAGE = 2**64 - 1
HEADER_BYTES, NODE_BYTES = 16, 8
PAGE_BYTES = 4096
DEPTH_MAX = 32
FAULTS_MAX = 100

_page = struct.Struct("<QHHHH")  # number, padding, flags, lower, upper (or 4 bytes: how many pages)
_node = struct.Struct("<HHHH")  # low and high half of size or child, flags, length of the key
_meta = struct.Struct("<IIQQ")
_tree = struct.Struct("<IHHQQQQQ")
_tail = struct.Struct("<QQ")
_number = struct.Struct("<Q")
_pages = struct.Struct("<I")


class Record(NamedTuple):
    """A key and its value, as views of the file; ``reached`` says whether the trees lead to it."""

    key: bytes
    value: Buffer
    reached: bool = True


class Found(NamedTuple):
    """What a file has: its records in the order of their keys, and what is wrong with it."""

    records: list[Record]
    faults: list[str]


class _Fault(Exception):
    """A page is not what it should be."""


class _Meta(NamedTuple):
    page_bytes: int
    free: int
    main: int
    last: int
    transaction: int


def read(file: Buffer) -> Found:
    """All records of an LMDB file, and its faults; without any, LMDB may open it.

    Parameters
    ----------
    file
        The whole file. The records are views of it.

    Examples
    --------
    >>> read(memoryview(b"no database"))
    Found(records=[], faults=['neither of its two heads can be read'])
    """
    metas = sorted(_metas(file), key=lambda meta: -meta.transaction)
    reader = _Reader(file, metas[0] if metas else _headless(file))
    if len(metas) < 2:
        lacking = "one of its two heads cannot" if metas else "neither of its two heads can"
        reader.faults.append(f"{lacking} be read")
    return reader.read()


def _headless(file: Buffer) -> _Meta:
    """A meta that leads nowhere: all pages are looked at, as long as most systems have them."""
    return _Meta(PAGE_BYTES, NO_PAGE, NO_PAGE, len(file) // PAGE_BYTES - 1, 0)


def _metas(file: Buffer) -> Iterator[_Meta]:
    """The metas that look like one; the second is found by the page size, whatever the first says."""
    sizes = [1 << power for power in range(9, 17)]
    for offset in (0, *sizes):
        if offset + 152 > len(file):
            return
        magic, version, _, _ = _meta.unpack_from(file, offset + 16)
        number, _, flags, _, _ = _page.unpack_from(file, offset)
        if (magic, version) != (MAGIC, DATA_VERSION) or not flags & META or number != (offset > 0):
            continue
        free = _tree.unpack_from(file, offset + 40)
        main = _tree.unpack_from(file, offset + 88)
        last, transaction = _tail.unpack_from(file, offset + 136)
        if free[0] in sizes and offset in (0, free[0]):
            yield _Meta(free[0], free[7], main[7], last, transaction)


def _transaction(key: bytes) -> int:
    return int.from_bytes(key, sys.byteorder)


class _Reader:
    """Reads one file by one meta."""

    def __init__(self, file: Buffer, meta: _Meta) -> None:
        self.file = file
        self.meta = meta
        self.faults: list[str] = []
        self.count = min(meta.last + 1, len(file) // meta.page_bytes)
        self.used = bytearray(self.count)
        self.used[:2] = b"\1\1"
        self.free: dict[int, None] = {}

    def read(self) -> Found:
        if self.meta.last + 1 > self.count:
            missing = (self.meta.last + 1 - self.count) * self.meta.page_bytes
            self._fault(f"it is cut off: {missing} bytes are missing at its end")
        records = list(self._walk(self.meta.main, bytes))
        for record in self._walk(self.meta.free, _transaction):
            self._list_free(record.value)
        if self.faults:
            records += self._orphans()
        return Found(records, self.faults[:FAULTS_MAX])

    def _fault(self, text: str) -> None:
        self.faults.append(text)

    # ------------------------------------------------------------ trees

    def _walk(self, root: int, place: Callable[[bytes], Any]) -> Iterator[Record]:
        """The records below a page, in order; what cannot be read is a fault and left out.

        ``place`` says of a key what comes before what.
        """
        if root == NO_PAGE:
            return
        last: Any = None
        stack = [(root, b"", 0)]
        while stack:
            number, first, depth = stack.pop()
            try:
                children, records = self._open(number, depth)
            except (_Fault, struct.error) as fault:
                self._fault(f"page {number}: {fault}")
                continue
            stack += [(child, key, depth + 1) for key, child in reversed(children)]
            begin = place(first)
            for record in records:
                here = place(record.key)
                if here < begin or (last is not None and here <= last):
                    self._fault(f"page {number}: its keys are out of order")
                last = here if last is None else max(last, here)
                yield record

    def _open(self, number: int, depth: int) -> tuple[list[tuple[bytes, int]], list[Record]]:
        """What a page of a tree has: children or records."""
        if depth > DEPTH_MAX:
            raise _Fault("the tree is too deep")
        flags = self._flags(number)
        self._use(number, 1)
        if flags & BRANCH:
            return list(self._children(number)), []
        return [], list(self._records(number, True))

    def _flags(self, number: int) -> int:
        if not 1 < number < self.count:
            raise _Fault("it does not exist")
        own, _, flags, _, _ = _page.unpack_from(self.file, number * self.meta.page_bytes)
        if own != number or flags & ~0xC010 not in (BRANCH, LEAF, OVERFLOW):
            raise _Fault("it is damaged")
        return int(flags)

    def _use(self, number: int, count: int) -> None:
        if any(self.used[number : number + count]):
            raise _Fault("it is used twice")
        self.used[number : number + count] = b"\1" * count

    # ------------------------------------------------------------ pages

    def _nodes(self, number: int) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Of each node on a page: two halves of a number, flags, where its data begins, and its key."""
        start = number * self.meta.page_bytes
        lower, upper = _page.unpack_from(self.file, start)[3:]
        if not HEADER_BYTES <= lower <= upper <= self.meta.page_bytes or lower % 2:
            raise _Fault("it is damaged")
        for slot in range(HEADER_BYTES, lower, 2):
            offset = int.from_bytes(self.file[start + slot : start + slot + 2], "little")
            if not upper <= offset <= self.meta.page_bytes - NODE_BYTES:
                raise _Fault("it is damaged")
            low, high, flags, size = _node.unpack_from(self.file, start + offset)
            data = offset + NODE_BYTES + size
            if data > self.meta.page_bytes:
                raise _Fault("it is damaged")
            yield low, high, flags, start + data, bytes(self.file[start + data - size : start + data])

    def _children(self, number: int) -> Iterator[tuple[bytes, int]]:
        for index, (low, high, flags, _, key) in enumerate(self._nodes(number)):
            yield key if index else b"", low | high << 16 | flags << 32

    def _records(self, number: int, reached: bool) -> Iterator[Record]:
        end = (number + 1) * self.meta.page_bytes
        for low, high, flags, data, key in self._nodes(number):
            size = low | high << 16
            if data + (8 if flags & BIG else size) > end:
                raise _Fault("it is damaged")
            if not flags & BIG:
                yield Record(key, self.file[data : data + size], reached)
                continue
            try:
                yield Record(key, self._overflow(_number.unpack_from(self.file, data)[0], size), reached)
            except _Fault as fault:  # the other records of the page are whole
                self._fault(f"page {number}: {fault}")

    def _overflow(self, number: int, size: int) -> Buffer:
        if not self._flags(number) & OVERFLOW:
            raise _Fault(f"the value in page {number} is damaged")
        start = number * self.meta.page_bytes
        count = _pages.unpack_from(self.file, start + 12)[0]
        if size + HEADER_BYTES > count * self.meta.page_bytes or number + count > self.count:
            raise _Fault(f"the value in page {number} is damaged")
        self._use(number, count)
        return self.file[start + HEADER_BYTES : start + HEADER_BYTES + size]

    # ------------------------------------------------------------ what no tree leads to

    def _list_free(self, numbers: Buffer) -> None:
        """Note the pages that a record of the free tree lists; none may be in use, or listed twice."""
        if len(numbers) < 8 or len(numbers) % 8:
            self._fault("its list of free pages is damaged")
            return
        count, *listed = struct.unpack(f"<{len(numbers) // 8}Q", numbers)
        wrong = count != len(listed)
        for number in listed[:count]:
            wrong = wrong or not 1 < number <= self.meta.last or number in self.free
            wrong = wrong or (number < self.count and bool(self.used[number]))
            self.free[number] = None
        if wrong:
            self._fault("its list of free pages is damaged")

    def _orphans(self) -> Iterator[Record]:
        """The records of leaves that are neither reached nor listed as free."""
        for number in range(2, self.count):
            if self.used[number] or number in self.free:
                continue
            try:
                if self._flags(number) & LEAF:
                    yield from self._records(number, False)
            except (_Fault, struct.error):
                continue
