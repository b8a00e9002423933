"""Values at a glance: bounded, and safe from what a value's own methods do."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from cloudburst_nb.display import preview as module
from cloudburst_nb.display.preview import preview
from tests.showing import read


class Rich:
    """Shows itself by the methods that it is given."""

    def __new__(cls, **methods: Any) -> Any:
        made = {name: (lambda self, data=data: data) for name, data in methods.items()}
        return type("Rich", (), {**made, "__repr__": lambda self: "plainly"})()


def test_small_values_are_themselves() -> None:
    assert read(preview(None)) == "None"
    assert read(preview({"a": [1, 2]})) == "{'a': [1, 2]}"
    assert read(preview("<b>")) == "'<b>'"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x" * 1_000_000, "str of 1,000,000 characters"),
        (b"x" * 1_000_000, "bytes of 1,000,000 bytes"),
        (list(range(100_000)), "list of 100,000 elements"),
        ({number: number for number in range(1000)}, "dict of 1,000 elements"),
    ],
)
def test_large_values_are_cut_and_say_how_large_they_are(value: object, said: str) -> None:
    html = preview(value)
    assert said in read(html)
    assert len(html) < 2 * module.TEXT_CHARACTERS_MAX


def test_words_about_a_value_and_the_value_are_apart() -> None:
    assert "elements</span> <code" in preview(list(range(100)))


def test_a_deep_value_and_a_long_repr_are_cut() -> None:
    nested: list[Any] = []
    for _ in range(sys.getrecursionlimit()):
        nested = [nested]
    assert read(preview(nested)) == "[[[[[...]]]]]"
    assert len(preview(Rich(__str__="x"))) < 100
    assert len(preview(np.ma.masked_array(np.arange(10**6)))) < 3 * module.TEXT_CHARACTERS_MAX


def test_an_array_says_its_shape_and_type() -> None:
    said = read(preview(np.zeros((100, 64), dtype=np.float32)))
    assert said.startswith("ndarray of shape (100, 64), float32, 25.6 KB [[0., 0., 0., ..., 0., 0., 0.]")
    assert read(preview(np.array([1, 2]))) == "ndarray of shape (2,), int64, 16 B [1, 2]"
    for dimensions in range(2, 6):  # its end is shown, too
        assert preview(np.full((9,) * dimensions, -0.123456789)).endswith("]" * dimensions + "</pre>")


def test_a_figure_is_a_picture() -> None:
    figure = Figure(figsize=(1, 1))
    figure.add_subplot()
    assert preview(figure).startswith('<img alt="figure" src="data:image/png;base64,')


def test_an_object_that_shows_itself_does() -> None:
    assert "<table><tr><td>1</td></tr></table>" in preview(
        Rich(_repr_html_="<table><tr><td>1</td></tr></table>")
    )
    assert 'src="data:image/png;base64,' in preview(Rich(_repr_png_=b"PNG"))
    assert 'src="data:image/png;base64,' in preview(Rich(_repr_png_=(b"PNG", {"width": 3})))
    assert 'src="data:image/svg+xml;base64,' in preview(Rich(_repr_svg_="<svg/>"))
    assert 'src="data:image/jpeg;base64,' in preview(Rich(_repr_mimebundle_={"image/jpeg": b"JPG"}))


def test_one_that_shows_too_much_or_nothing_is_shown_as_text() -> None:
    assert read(preview(Rich(_repr_html_="x" * (module.HTML_CHARACTERS_MAX + 1)))) == "plainly"
    assert read(preview(Rich(_repr_png_=b"x" * (module.IMAGE_BYTES_MAX + 1)))) == "plainly"
    assert read(preview(Rich(_repr_html_=None, _repr_png_=None))) == "plainly"


def test_a_method_that_raises_is_passed_over() -> None:
    class Bad:
        def _repr_html_(self) -> str:
            raise RuntimeError("no")

        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert read(preview(Bad())).startswith("<Bad instance at")


def test_a_class_is_not_asked_for_what_its_objects_show() -> None:
    assert "Figure" in read(preview(Figure))
