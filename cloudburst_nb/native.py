"""What the original's client needs of the native one.

Law: types only. The native client knows nothing of the original's, which could be run over another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cloudburst_runtime.messages import DagSpec

    from .enums import Consistency
    from .packaging import Packed


class Future(Protocol):
    """What of the native future is used by it."""

    @property
    def obj_id(self) -> str: ...
    def get(self, timeout: float | None = None) -> Any: ...


class Native(Protocol):
    """What of the native client is used by it."""

    def register(self, packed: Packed) -> Any: ...
    def get_function(self, name: str) -> Any: ...
    def functions(self, prefix: str = "") -> list[str]: ...
    def dags(self) -> list[str]: ...
    def call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        kind: str = "function",
        node_args: dict[str, list[Any]] | None = None,
        consistency: Consistency | None = None,
        output_key: str | None = None,
        timeout: float | None = None,
        continuation: str | None = None,
    ) -> Future: ...
    def define_dag(self, spec: DagSpec, replace: bool = True) -> Any: ...
    def delete_dag(self, name: str) -> None: ...
    def get(self, key: str) -> Any: ...
    def put(self, key: str, value: object, lattice: str | None = None) -> None: ...
    def new_key(self) -> str: ...
