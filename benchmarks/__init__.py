"""The benchmark suite: this project, its peers and the machine's own limit, side by side in one run.

`python -m benchmarks` measures, `python -m benchmarks.report` turns the figures into ``docs/benchmarks.md``.
"""
