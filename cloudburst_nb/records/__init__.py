"""Records of runs: written while a notebook runs, replayed, compared with another run, shown as a page."""
