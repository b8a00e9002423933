"""Figures of latency: how it is spread, what it consists of, how it went, how two sets of calls compare.

`of` picks a figure of what this process remembers of a function's calls, and `live` keeps it current.

Law: each other function takes futures that are done (those that need not say when also their ``timings``) and
returns a matplotlib figure that belongs to nobody: no pyplot, no state, nothing shown by itself. The
background is clear, and axes have units.
"""

from __future__ import annotations

from cloudburst_nb.plots.comparison import compare
from cloudburst_nb.plots.course import timeline
from cloudburst_nb.plots.distribution import latency
from cloudburst_nb.plots.following import live
from cloudburst_nb.plots.over_time import over_time, throughput
from cloudburst_nb.plots.picking import of
from cloudburst_nb.plots.stages import breakdown

__all__ = ["breakdown", "compare", "latency", "live", "of", "over_time", "throughput", "timeline"]
