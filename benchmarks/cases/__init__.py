"""The cases, a module for each kind; importing this registers them, in the order of the tables."""

from benchmarks.cases import startup as startup  # noqa: I001  the order is that of the tables
from benchmarks.cases import calls as calls
from benchmarks.cases import stages as stages
from benchmarks.cases import chains as chains
from benchmarks.cases import parts as parts
from benchmarks.cases import many as many
from benchmarks.cases import arrays as arrays
from benchmarks.cases import store as store
from benchmarks.cases import stores as stores
from benchmarks.cases import levels as levels
from benchmarks.cases import growth as growth
