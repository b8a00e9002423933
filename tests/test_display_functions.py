"""Functions and classes in a notebook."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import cloudburst_nb as cb
from cloudburst_nb import runtimes
from cloudburst_nb.display.code import HIGHLIGHTED_CHARACTERS_MAX, source
from tests.showing import read


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    runtimes.state.known.clear()
    runtimes.state.pending.clear()
    assert not cb.running(), "to show something starts no runtime"


def test_a_function_shows_its_signature_source_and_what_it_carries_along() -> None:
    factor = "<3>"

    def scale(x, by=2):
        return x * by * len(factor)

    html = cb.function(scale, retries=3, timeout=2.5, gpu=True)._repr_html_()
    said = read(html)
    assert said.startswith("cloud function scale (x, by=2) not registered yet · 3 retries")
    assert "at most 2.5 s · on a GPU" in said
    assert "carries along 2 (" in said
    assert "factor str" in said
    assert "font-weight:bold" in html


def test_a_function_that_lacks_a_name_says_which() -> None:
    made = cb.function(eval("lambda x: not_there_yet(x)", {}), name="early", source="early")
    assert "once these exist: not_there_yet" in read(made._repr_html_())


def test_a_class_says_how_to_build_it_and_what_it_was_built_with() -> None:
    class Model:
        def __init__(self, path, scale=1):
            self.path, self.scale = path, scale

        def run(self, x):
            return x

    unbound = cb.function(Model)
    said = read(unbound._repr_html_())
    assert "not bound yet build it with Model.bind(path, scale=1) and call what that returns" in said
    bound = unbound.bind("w" * 1000, scale=[1, 2])
    said = read(bound._repr_html_())
    assert "cloud class Model (x)" in said
    assert "built once per executor as Model('www" in said
    assert "scale=[1, 2])" in said


def test_an_argument_whose_repr_fails_is_named_by_its_type() -> None:
    class Odd:
        def __init__(self, part):
            pass

        def run(self):
            pass

    assert "Odd((1+2j))" in read(cb.function(Odd).bind(1 + 2j)._repr_html_())


def test_source_is_escaped_and_a_long_one_is_plain() -> None:
    assert read(source("a = '<script>' # <b>")) == "a = ' <script> ' # <b>"  # in pieces of one colour each
    long = "x = 1  # <b>\n" * HIGHLIGHTED_CHARACTERS_MAX
    assert "<span" not in source(long)
    assert "&lt;b&gt;" in source(long)
