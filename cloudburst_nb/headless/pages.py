"""An executed notebook as a page to read elsewhere: HTML in one file, Markdown with its pictures beside it.

Law: reads a notebook that has run, knows no kernel. Pages make no request to anywhere: pictures lie in them
or beside them, widgets are there in their static form.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

from . import document
from .errors import UsageError

EXTERNAL_SCRIPT = re.compile(r"""<script[^>]*\ssrc=["']https?://[^>]*>\s*</script>""")
"""What nbconvert's template loads from the network; the page shows without it."""


def check(page: Path) -> None:
    """Raise `UsageError` if the page could not be made or written."""
    if importlib.util.find_spec("nbconvert") is None:
        raise UsageError(
            f"a page needs nbconvert: {os.path.basename(sys.executable)} -m pip install nbconvert"
        )
    document.check_writable(page)


def write_html(notebook: Any, page: Path) -> None:
    """Write one self-contained HTML file."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook, resources=_named(page))
    document.write_text(EXTERNAL_SCRIPT.sub("", str(body)), page)


def write_markdown(notebook: Any, page: Path) -> None:
    """Write Markdown, and the pictures of its outputs into ``NAME_files`` beside it."""
    from nbconvert import MarkdownExporter

    folder = f"{page.stem}_files"
    resources = {**_named(page), "output_files_dir": folder}
    body, found = MarkdownExporter().from_notebook_node(notebook, resources=resources)
    pictures: dict[str, bytes] = found.get("outputs") or {}
    for name, data in pictures.items():
        document.write_bytes(data, page.parent / name)
    document.write_text(str(body), page)


def _named(page: Path) -> dict[str, Any]:
    return {"metadata": {"name": page.stem}}
