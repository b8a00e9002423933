"""The two enumerations of the original's client: error codes and consistency levels."""

from __future__ import annotations

import enum

from cloudburst_runtime.errors import ConsistencyError


class ErrorCode(enum.IntEnum):
    """What `CloudburstConnection.register_dag` and ``delete_dag`` return beside their success.

    Examples
    --------
    >>> bool(ErrorCode.NO_ERROR), ErrorCode.NO_SUCH_DAG.name
    (False, 'NO_SUCH_DAG')
    """

    NO_ERROR = 0
    FUNC_NOT_FOUND = 1
    NOT_PINNED = 2
    EXECUTION_ERROR = 3
    NO_SUCH_DAG = 4
    NO_RESOURCES = 5
    DAG_ALREADY_EXISTS = 6


class Consistency(enum.StrEnum):
    """What a whole DAG may observe of the store, whichever caches it touches.

    =========  =======================================================================================
    ``LWW``    replicas converge; of concurrent writes the one with the latest (time, writer) wins
    ``DSRR``   distributed session repeatable read: one version of a key throughout a DAG
    ``SK``     single-key causal: concurrent writes are kept as siblings
    ``MK``     multi-key causal: each cache is a causal cut
    ``DSC``    distributed session causal: all caches that a DAG touches form a causal cut together
    ``ATOMIC`` a DAG's writes are published when it ends, all or none, and only once if it is run again
    =========  =======================================================================================

    ``NORMAL``, ``SINGLE`` and ``MULTI`` are the original's names for LWW, SK and DSC. Single calls, DAGs
    and, with `Client.session`, the notebook's own reads and writes have a level; by default it is LWW.

    Examples
    --------
    >>> Consistency.parse("dsrr") is Consistency.DSRR
    True
    """

    LWW = "lww"
    DSRR = "dsrr"
    SK = "sk"
    MK = "mk"
    DSC = "dsc"
    ATOMIC = "atomic"
    NORMAL = "normal"
    SINGLE = "single"
    MULTI = "multi"

    @classmethod
    def parse(cls, level: object) -> Consistency:
        """The level that a member or a name in lower or upper case means.

        Parameters
        ----------
        level
            One of the members, or its name.

        Returns
        -------
        Consistency
            LWW, DSRR, SK, MK or DSC; the original's three names are resolved.

        Raises
        ------
        ConsistencyError
            If there is no such level; the message lists them.

        Examples
        --------
        >>> Consistency.parse("MULTI") is Consistency.DSC
        True
        """
        if isinstance(level, str) and (level == level.lower() or level == level.upper()):
            for member in cls:
                if member.value == level.lower():
                    return _MEANINGS.get(member, member)
        known = ", ".join(repr(member.value) for member in cls)
        raise ConsistencyError(f"there is no consistency level {level!r:.80}: the levels are {known}")


_MEANINGS = {
    Consistency.NORMAL: Consistency.LWW,
    Consistency.SINGLE: Consistency.SK,
    Consistency.MULTI: Consistency.DSC,
}
