"""Modules that this process may have imported, for whom it would be too dear to import them to ask.

Law: nothing is imported here.
"""

from __future__ import annotations

import sys
from typing import Any


def imported(module: str, part: str) -> Any:
    """The module, if it is imported already, and so far that it has this part; None otherwise.

    Another thread may be about to import it: it is in ``sys.modules`` from the start, and has nothing yet.

    Examples
    --------
    >>> imported("math", "sqrt").sqrt(4.0)
    2.0
    >>> imported("math", "no such part"), imported("no such module", "sqrt")
    (None, None)
    """
    found = sys.modules.get(module)
    return found if hasattr(found, part) else None
