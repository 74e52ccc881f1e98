"""Declarations with a field gone, of another type, exchanged or renamed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

ODD: list[Any] = [
    None, [], {}, "", 0, -1, 1.5, True, "x", [None], [[1]], {"a": 1}, {"a": [1]}, 10**30,
    float("inf"), float("nan"), "../x", "a\nb", " a ", ["a", "a "], "2020-13-45", {1: 2},
    {None: 3}, ["b", {}], "1", [True], [1, 2], {"a": None}, -(2**60), ["a", ["b"]],
]  # fmt: skip
NAMES: list[Any] = ["../x", 5, "zz", "patient_id", "_row", "type", None, "a/b", "x\0", True]
Place = tuple[Any, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """The place of every value in a nested one, but its own."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield (*place, key)
        yield from places(child, (*place, key))


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def mutation(value: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A copy with one or two changes."""
    changed = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 2])):
        options = list(places(changed))
        place, other = rng.choice(options), rng.choice(options)
        parent, key = at(changed, place[:-1]), place[-1]
        match rng.randrange(4):
            case 0:
                del parent[key]
            case 1:
                parent[key] = copy.deepcopy(rng.choice(ODD))
            case 2:
                parent[key] = copy.deepcopy(at(changed, other))
            case _ if isinstance(parent, dict):
                parent[rng.choice(NAMES)] = parent.pop(key)
            case _:
                parent.append(copy.deepcopy(parent[key]))
    return changed
