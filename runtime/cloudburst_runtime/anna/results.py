"""The results that calls have left under keys of their own: in which order they came, and which are to go.

Law: this file counts, and whoever keeps the records deletes. A client makes such a key for each call that is
to leave its result in the store, as the original's client does for every call. Nobody deletes them, so each
store keeps the latest up to two bounds, a number and the bytes that they have together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cloudburst_runtime.config import Config
from cloudburst_runtime.ids import PeerName

RESULTS_PREFIX = "result/"
"""Keys that begin so are no user's: results, and the records of atomic calls."""

_RESULT = re.compile(r"result/c[0-9a-f]+/[0-9]+")


def result_key(client: PeerName, number: int) -> str:
    """The key of a result; ``number`` is one that this client uses once.

    Examples
    --------
    >>> result_key("c2f", 17), is_result(result_key("c2f", 17)), is_result("result/of/tuesday")
    ('result/c2f/17', True, False)
    """
    return f"{RESULTS_PREFIX}{client}/{number}"


def is_result(key: str) -> bool:
    """Whether `result_key` made this key."""
    return _RESULT.fullmatch(key) is not None


class Results:
    """The results in one store.

    Parameters
    ----------
    config
        For ``results_max`` and ``results_bytes_max``.

    Attributes
    ----------
    too_many
        Whether some are surplus. The latest never is, however large.

    Examples
    --------
    >>> results = Results(Config(results_max=1))
    >>> results.note("result/c1/1", 100)
    >>> results.note("result/c1/2", 100)
    >>> results.too_many, results.oldest()
    (True, 'result/c1/1')
    """

    def __init__(self, config: Config) -> None:
        self.too_many = False
        self._max = config.results_max
        self._bytes_max = config.results_bytes_max
        self._sizes: dict[str, int] = {}  # in the order in which they came
        self._nbytes = 0

    def note(self, key: str, nbytes: int | None) -> None:
        """A key has a value of so many bytes now; None: it has none any more."""
        if not is_result(key):
            return
        self._nbytes += (nbytes or 0) - self._sizes.get(key, 0)
        if nbytes is None:
            self._sizes.pop(key, None)
        else:
            self._sizes[key] = nbytes
        many = len(self._sizes)
        self.too_many = many > 1 and (many > self._max or self._nbytes > self._bytes_max)

    def sort(self, keys: Iterable[str]) -> None:
        """They came in this order."""
        self._sizes = {key: self._sizes[key] for key in keys if key in self._sizes}

    def oldest(self) -> str:
        """Which goes first."""
        return next(iter(self._sizes))
