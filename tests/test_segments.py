"""Which segment a value goes to: never one that is held, the oldest first, no more than there is room for."""

from __future__ import annotations

from random import Random

import pytest

from cloudburst_runtime import segments
from cloudburst_runtime.segments import (
    HUGE_BYTES,
    LOOKS_MAX,
    PAGE_BYTES,
    SHARED_BYTES_MIN,
    Pool,
    Segment,
    size_class,
)


class World:
    """What an owner sees: who holds what, and how much memory there is."""

    def __init__(self, bytes_max: int = 10**9) -> None:
        self.held: set[int] = set()
        self.locked: set[int] = set()
        self.resident: dict[int, int] = {}
        self.bytes_max = bytes_max
        self.discarded: list[int] = []
        self.tried: list[int] = []

    def recycle(self, segment: Segment) -> bool:
        self.tried.append(segment.number)
        if segment.number in self.held:
            return False
        assert segment.number not in self.locked, "given out twice"
        self.locked.add(segment.number)
        segment.generation += 1
        return True

    def unlock(self, segment: Segment) -> None:
        self.locked.remove(segment.number)
        self.resident[segment.number] = segment.resident

    def discard(self, segment: Segment) -> None:
        assert segment.number in self.locked
        self.discarded.append(segment.number)
        segment.resident = 0

    def room(self, nbytes: int) -> bool:
        return sum(self.resident.values()) + nbytes <= self.bytes_max


def put(pool: Pool, world: World, nbytes: int, held: bool = True) -> int | None:
    """Write a value, as an arena does; the number of its segment."""
    segment = pool.take(nbytes)
    if segment is None:
        return None
    assert segment.size >= nbytes
    segment.resident = max(segment.resident, -(-nbytes // PAGE_BYTES) * PAGE_BYTES)
    pool.give_out(segment)
    if held:
        world.held.add(segment.number)
    return segment.number


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def pool(world: World) -> Pool:
    return Pool(world, start=1 << 20)


def test_size_classes_are_powers_of_two_from_the_smallest_on() -> None:
    assert size_class(1) == size_class(SHARED_BYTES_MIN) == SHARED_BYTES_MIN
    assert size_class(SHARED_BYTES_MIN + 1) == 2 * SHARED_BYTES_MIN
    assert size_class(8_000_000) == 8 << 20


def test_segments_do_not_overlap_and_begin_where_a_huge_page_may(pool: Pool, world: World) -> None:
    end = 1 << 20
    for nbytes in (100_000, 70_000, 8_000_000, 100_000, 3_000_000, 64_000_000):
        segment = pool.take(nbytes)
        assert segment is not None
        assert end <= segment.offset < end + min(segment.size, HUGE_BYTES)
        assert segment.offset % min(segment.size, HUGE_BYTES) == 0
        end = segment.offset + segment.size
        assert pool.end == end


def test_a_key_that_is_replaced_over_and_over_takes_two_segments(pool: Pool, world: World) -> None:
    used = set()
    current = None
    for _ in range(100):
        new = put(pool, world, 100_000)
        assert new is not None
        world.held.discard(current or 0)  # the store drops the old value once it has the new one
        current = new
        used.add(new)
    assert used == {1, 2}


def test_only_a_few_are_tried_in_turn(pool: Pool, world: World) -> None:
    for _ in range(10):
        put(pool, world, 100_000)
    world.held -= {5, 6}
    world.tried.clear()
    assert {put(pool, world, 100_000) for _ in range(4)} >= {5, 6}
    assert len(world.tried) <= 4 * (3 * LOOKS_MAX + 1)


def test_values_that_stay_do_not_stand_before_those_that_come_and_go(pool: Pool, world: World) -> None:
    for _ in range(100):
        put(pool, world, 100_000)
    for _ in range(1000):
        number = put(pool, world, 100_000)
        assert number is not None
        world.held.discard(number)
    assert pool.count <= 110


def test_keys_that_are_replaced_in_any_order_take_half_as_much_again_at_most(
    pool: Pool, world: World
) -> None:
    random = Random(1)
    current = {key: put(pool, world, 100_000) for key in range(200)}
    for _ in range(5000):
        key = random.randrange(200)
        new = put(pool, world, 100_000)
        world.held.discard(current[key] or 0)
        current[key] = new
    assert pool.count <= 300


def test_what_was_not_used_is_taken_next(pool: Pool, world: World) -> None:
    put(pool, world, 100_000, held=False)
    segment = pool.take(100_000)
    assert segment is not None
    pool.give_back(segment)
    assert pool.take(100_000) is segment


def test_a_full_arena_gives_nothing_and_takes_nothing_from_anybody(pool: Pool, world: World) -> None:
    world.bytes_max = 3 * 65_536
    assert [put(pool, world, 65_536) for _ in range(5)] == [1, 2, 3, None, None]
    world.held.discard(2)
    assert [put(pool, world, 65_536) for _ in range(2)] == [2, None]
    assert world.discarded == []


def test_a_full_arena_discards_what_is_free_but_of_another_size(pool: Pool, world: World) -> None:
    world.bytes_max = 4 * 65_536
    for _ in range(4):
        put(pool, world, 65_536, held=False)
        world.held.add(pool.count)
    world.held -= {1, 3}
    assert put(pool, world, 2 * 65_536) == 5
    assert world.discarded == [1, 3]
    assert put(pool, world, 65_536) is None
    world.held.discard(5)
    assert put(pool, world, 65_536) in {1, 3}


def test_a_segment_that_held_less_before_needs_room_for_the_rest(pool: Pool, world: World) -> None:
    world.bytes_max = 70_000 + PAGE_BYTES
    assert put(pool, world, 70_000, held=False) == 1
    assert put(pool, world, 130_000) is None
    assert put(pool, world, 70_000, held=False) == 1


def test_the_table_has_so_many_lines(pool: Pool, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENTS_MAX", 2)
    assert [put(pool, world, 65_536) for _ in range(3)] == [1, 2, None]


def test_a_segment_without_memory_is_taken_after_those_that_have_some(pool: Pool, world: World) -> None:
    put(pool, world, 100_000, held=False)
    failed = pool.take(100_000)
    assert failed is not None
    put(pool, world, 100_000, held=False)
    failed.resident = 0  # there was no memory after all
    pool.give_back(failed)
    assert put(pool, world, 100_000) == 2
    assert put(pool, world, 100_000) == failed.number
    assert put(pool, world, 100_000) == 3


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nothing_is_given_out_that_is_held(seed: int) -> None:
    random = Random(seed)
    world = World(bytes_max=2_000_000)
    pool = Pool(world, start=0)
    writing: list[Segment] = []
    for _ in range(400):
        match random.randrange(4):
            case 0 | 1:
                taken = pool.take(random.choice([60_000, 100_000, 250_000]))
                if taken is not None:
                    assert taken.number not in world.held
                    writing.append(taken)
            case 2 if writing:
                segment = writing.pop(random.randrange(len(writing)))
                segment.resident = segment.size
                pool.give_out(segment)
                world.held.add(segment.number)
            case _ if world.held:
                world.held.discard(random.choice(sorted(world.held)))
        assert not world.held & world.locked
    assert world.locked == {segment.number for segment in writing}
