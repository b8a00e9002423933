"""Arguments on their way into a call: values, references to keys, and the results of other calls.

Law: this module encodes and names what cannot be encoded; it sends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudburst_nb import runtimes
from cloudburst_nb.errors import SerializationError
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.reference import CloudburstReference
from cloudburst_runtime.messages import Args, Inline, Ref
from cloudburst_runtime.values import Value, encode, encode_call, explain

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.function import CloudFunction
    from cloudburst_runtime.client.calls import OwnedCall

BY_KEY = frozenset((CloudburstReference, CloudburstFuture))
"""Arguments that become values only where the function runs."""
NOTHING = encode(((), {}))
_NO_REFS: list[Ref] = []
_NO_INLINE: list[Inline] = []
"""Of the many calls that have none: one list of each, which nobody changes. There may be many calls under
way, and the garbage collector would look at a list of each."""


def pack_arguments(
    client: Client,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    call: OwnedCall,
    refs: dict[str, None],
) -> Args:
    """Encode arguments; a reference or a future leaves a hole, to be filled with its value."""
    if are_plain(args, kwargs):
        return plain_arguments(name, args, kwargs)
    packed = Args(NOTHING, [], [])
    slots: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    holes = {slot: arg for slot, arg in slots if type(arg) in BY_KEY}
    for slot, arg in holes.items():
        if isinstance(arg, CloudburstReference):
            packed.refs.append(Ref(slot, arg.key))
            refs[arg.key] = None
        else:
            _pack_future(client, arg, slot, packed, call)
    kept = tuple(None if index in holes else arg for index, arg in enumerate(args))
    kept_by_name = {key: None if key in holes else arg for key, arg in kwargs.items()}
    packed.value = encode_arguments(name, kept, kept_by_name)
    return packed


def _pack_future(
    client: Client, future: CloudburstFuture, slot: int | str, packed: Args, call: OwnedCall
) -> None:
    """A future of ``client`` is waited for here; its result goes on without being decoded."""
    if future._client is not client:
        packed.inline.append(Inline(slot, encode(future.get())))
        return
    if future._result is None:
        call.depends.setdefault(future._number, []).append((packed, slot))
        future._subscribe(_look)
    if future._result is not None:
        call.depends.pop(future._number, None)
        if future._result.failure is not None:
            future.get()
        assert future._result.value is not None
        packed.inline.append(Inline(slot, future._result.value))


def are_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether there is no reference and no future among the arguments.

    Examples
    --------
    >>> are_plain((1, [2]), {"x": 3}), are_plain((), {"x": CloudburstReference("key")})
    (True, False)
    """
    return BY_KEY.isdisjoint(map(type, args)) and (
        not kwargs or BY_KEY.isdisjoint(map(type, kwargs.values()))
    )


def plain_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Args:
    """Encode arguments among which there is no reference and no future."""
    return Args(encode_arguments(name, args, kwargs), _NO_REFS, _NO_INLINE)


def encode_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """The value of ``(args, kwargs)``; the argument that cannot travel is named in the error."""
    try:
        return encode_call(args, kwargs)
    except SerializationError:
        known = runtimes.state.known.get(name)
        raise SerializationError(_blame(name, known, args, kwargs)) from None


def _look(_: CloudburstFuture) -> None:
    """A subscriber that only makes `_subscribe` look at the future with the lock held."""


def _blame(name: str, known: CloudFunction | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Which argument cannot travel."""
    names = _parameter_names(known)
    slots = [(names[i] if i < len(names) else f"number {i + 1}", arg) for i, arg in enumerate(args)]
    for slot, arg in [*slots, *kwargs.items()]:
        try:
            encode(arg)
        except SerializationError as error:
            part = explain(arg, slot)
            return f"argument {slot!r} of {name!r} cannot be sent: {part} ({error.__cause__ or error})"
    return f"the arguments of {name!r} cannot be sent"


def _parameter_names(known: CloudFunction | None) -> list[str]:
    if known is None:
        return []
    inside = known.signature.partition("(")[2].rpartition(")")[0]
    parts = [part.strip().split("=")[0].split(":")[0].strip() for part in inside.split(",")]
    return [part for part in parts if part.isidentifier()]


def check_arguments(args: object, kwargs: object, node_args: object) -> None:
    """Raise a `TypeError` if the arguments of a call by name are not what they should be."""
    if not isinstance(args, tuple | list):
        raise TypeError(f"args is a tuple of arguments, not {type(args).__name__}: {args!r:.80}")
    for given, what in ((kwargs, "kwargs"), (node_args, "node_args")):
        named = isinstance(given, dict) and all(isinstance(name, str) for name in given)
        if given is not None and not named:
            raise TypeError(f"{what} is a dict by name, not {type(given).__name__}: {given!r:.80}")
