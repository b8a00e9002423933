"""The original's enumerations."""

from __future__ import annotations

import pytest

from cloudburst_nb.enums import Consistency, ErrorCode
from cloudburst_runtime.errors import ConsistencyError


def test_the_error_codes_are_the_originals() -> None:
    names = "NO_ERROR FUNC_NOT_FOUND NOT_PINNED EXECUTION_ERROR NO_SUCH_DAG NO_RESOURCES DAG_ALREADY_EXISTS"
    assert [code.name for code in ErrorCode] == names.split()
    assert [bool(code) for code in ErrorCode] == [False] + [True] * 6


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("NORMAL", "lww"), ("SINGLE", "sk"), ("MULTI", "dsc"), ("LWW", "lww"), ("DSRR", "dsrr"), ("SK", "sk"),
     ("MK", "mk"), ("DSC", "dsc")],
)  # fmt: skip
def test_every_spelling_of_a_level_is_understood(name: str, meaning: str) -> None:
    member = Consistency[name]
    assert member.name == name
    for spelling in (member, name, name.lower()):
        assert Consistency.parse(spelling) is Consistency(meaning)
    assert Consistency.parse(name) == meaning


def test_the_levels_are_these() -> None:
    names = "NORMAL SINGLE MULTI LWW DSRR SK MK DSC ATOMIC"
    assert sorted(member.name for member in Consistency) == sorted(names.split())


@pytest.mark.parametrize("level", ["eventual", "", "Lww", None, 3, ErrorCode.NO_ERROR])
def test_an_unknown_level_is_refused_with_a_list(level: object) -> None:
    with pytest.raises(ConsistencyError, match=r"no consistency level .*'lww', 'dsrr', 'sk', 'mk', 'dsc'"):
        Consistency.parse(level)
