"""Objects as Go's decoder takes them: names in any case of letters, null for a field that is left out. Pure.

# quirk: docker-py sends ``detachKeys`` where the schema says ``DetachKeys``, and ``"Interval": null`` in healthchecks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin

import msgspec

_Respell = Callable[[Any], Any]


def respell(sent: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """*sent* with the names that *kind* and the structs in it know in their own spelling, and without nulls where they
    know none; other names stay."""
    found: dict[str, Any] = _respell_object(sent, kind)
    return found


@cache
def _names(kind: type[msgspec.Struct]) -> dict[str, tuple[str, _Respell | None, bool]]:
    """Lower-case name → (the name, what respells its value, whether it may be null)."""
    return {
        field.encode_name.lower(): (field.encode_name, _inner(field.type), NoneType in get_args(field.type))
        for field in msgspec.structs.fields(kind)
    }


def _inner(hint: Any) -> _Respell | None:
    """What respells a value of the type *hint*; None when there is no struct in it."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return lambda value: _respell_object(value, hint) if isinstance(value, dict) else value
    arguments = [argument for argument in get_args(hint) if argument not in (NoneType, Ellipsis)]
    inner = next((found for argument in arguments if (found := _inner(argument))), None)
    origin = get_origin(hint)
    if inner is None:
        return None
    each = inner
    if origin is dict:
        return lambda value: {k: each(v) for k, v in value.items()} if isinstance(value, dict) else value
    if origin in (tuple, list):
        return lambda value: [each(v) for v in value] if isinstance(value, list) else value
    return inner


def _respell_object(sent: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    known = _names(kind)
    found: dict[str, Any] = {}
    for key, value in sent.items():
        name, inner, may_be_null = known.get(key.lower(), (key, None, True))
        if (name != key and name in sent) or (value is None and not may_be_null):
            continue  # said twice: the exact spelling wins
        found[name] = inner(value) if inner is not None else value
    return found
