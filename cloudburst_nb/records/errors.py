"""What can be wrong with a record, told in one line."""

from __future__ import annotations

from cloudburst_runtime.errors import CloudburstError


class RecordError(CloudburstError):
    """A record cannot be read or written, or a call is not in it."""

    definite = True
