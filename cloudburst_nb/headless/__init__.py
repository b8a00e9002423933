"""Notebooks without a browser: run them from a command line or in CI, and tell well how it went."""
