"""Vectors: a lattice under `joined`, ordered by `covers`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.vectors import covers, joined

vectors = st.dictionaries(st.sampled_from("abc"), st.integers(1, 4))


@given(vectors, vectors, vectors)
def test_vectors_are_a_lattice(a: dict[str, int], b: dict[str, int], c: dict[str, int]) -> None:
    assert joined(a, b) == joined(b, a)
    assert joined(joined(a, b), c) == joined(a, joined(b, c))
    assert joined(a, a) is a
    assert covers(joined(a, b), a)
    assert covers(a, b) == (joined(a, b) == a)


@given(vectors, vectors)
def test_joining_changes_neither_and_copies_only_if_it_must(a: dict[str, int], b: dict[str, int]) -> None:
    before = dict(a), dict(b)
    both = joined(a, b)
    assert (a, b) == before
    assert both is a or both is b or (both != a and both != b)
