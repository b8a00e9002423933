"""Single cases and rows out of a result.

Law: looks up, computes nothing; what was not measured is None.
"""

from __future__ import annotations

from typing import Any

OURS = "cloudburst-nb"


def by_name(result: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The case of that name.

    Examples
    --------
    >>> by_name({"cases": [{"name": "no-op call"}]}, "no-op call")
    {'name': 'no-op call'}
    """
    return next((case for case in result["cases"] if case["name"] == name), None)


def ours(case: dict[str, Any] | None) -> dict[str, Any] | None:
    """This project's first row of a case."""
    return next((each for each in case["rows"] if each["role"] == "ours"), None) if case else None


def row(result: dict[str, Any], name: str, label: str = "", role: str = "") -> dict[str, Any] | None:
    """A row by its case and label or role; this project's first one, if neither is given."""
    case = by_name(result, name)
    if case is None or not (label or role):
        return ours(case)
    rows = [each for each in case["rows"] if each["label"] == label or each["role"] == role]
    return rows[0] if rows else None
