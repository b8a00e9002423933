"""`cloudburst-nb report`: a record as one page.

Law: this file finds out where the page goes, and writes it; what stands on it is `records.page`'s business.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.page import html
from cloudburst_nb.records.record import read

from . import document
from .errors import UsageError


def report_command(arguments: argparse.Namespace) -> int:
    """`cloudburst-nb report`."""
    folder: Path = arguments.record
    target: Path = arguments.output or folder.with_name(f"{folder.name}.html")
    try:
        text = html(read(folder))
    except RecordError as error:
        raise UsageError(str(error)) from None
    document.check_writable(target)
    document.write_text(text, target)
    print(f"page: {target}")
    return 0
