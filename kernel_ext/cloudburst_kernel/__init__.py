"""The Jupyter side: cell capture and magics."""
