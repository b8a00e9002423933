"""The consistency levels by name, and what kind of write a plain value is at each.

======  =================================================================================================
level   a session at this level
======  =================================================================================================
lww     reads its own writes; of concurrent writes the latest by (stamp, writer) stays
dsrr    and reads one version of each key throughout a DAG, until the DAG writes it
sk      writes what replaces only what it has seen of the key: concurrent writes stay side by side
mk      and sees, behind each cache, with a write all that the write depended on
dsc     and the same behind all the caches that it touches, taken together
atomic  as lww, but a DAG's writes are published when it ends, all or none, and seen all or none
======  =================================================================================================
"""

from __future__ import annotations

LEVELS = ("lww", "dsrr", "sk", "mk", "dsc", "atomic")

REPEATABLE = ("dsrr", "atomic")
"""The levels at which a DAG reads one version of each key."""

CAUSAL = ("sk", "mk", "dsc")
"""The levels at which a plain put is a causal write."""

DEPENDENT = ("mk", "dsc")
"""The levels at which a write carries what it depends on, and a read waits for it."""
