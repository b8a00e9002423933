"""What a headless run refuses: a request that cannot be carried out, told in one line."""

from __future__ import annotations


class UsageError(Exception):
    """The request is at fault, not a cell: a bad path, notebook, parameter or kernel name.

    Parameters
    ----------
    message
        One line that says what is wrong and, where there is one, the way out.
    detail
        Further lines, printed under the message.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
