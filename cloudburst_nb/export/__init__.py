"""Functions and DAGs of a notebook as an importable Python package, and a runtime that serves it."""

from __future__ import annotations

from cloudburst_nb.export.package import FORMAT, write
from cloudburst_nb.export.serving import Package, load, register

__all__ = ["FORMAT", "Package", "load", "register", "write"]
