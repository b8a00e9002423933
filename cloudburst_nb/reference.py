"""A key of the store as an argument: it becomes the key's value where the function runs."""

from __future__ import annotations

from cloudburst_runtime.errors import check_name


class CloudburstReference:
    """An argument that is replaced by the value of a key, once the key exists.

    Parameters
    ----------
    key
        The key, in the store.
    deserialize
        Part of the original's signature. Values always arrive decoded.

    Raises
    ------
    InvalidName
        If the key is empty, not a string, or over 255 bytes.

    Examples
    --------
    >>> CloudburstReference("weights")
    CloudburstReference('weights')
    """

    __slots__ = ("deserialize", "key")

    def __init__(self, key: str, deserialize: bool = True) -> None:
        self.key = check_name(key, "key")
        self.deserialize = deserialize

    def __repr__(self) -> str:
        return f"CloudburstReference({self.key!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CloudburstReference) and other.key == self.key

    def __hash__(self) -> int:
        return hash((CloudburstReference, self.key))
