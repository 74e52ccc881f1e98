"""What heads look at when they choose an attribute of an event: in fitting and in drawing alike."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.fact_names import CHANGE, LAST, NAMED_FACT, RANGE, VALUE
from pipeline.models.pathway.domain.value_ranges import changes, ranges


def event_parts(
    coding: Coding,
    place: int,
    names: Collection[str],
    kind: np.ndarray,
    attributes: np.ndarray,
    last: np.ndarray,
) -> dict[str, np.ndarray]:
    """Those of these parts that are about the event itself: [m] each, of `picked change` the
    cell of each value [m, k].

    place: of the attribute that is chosen; kind [m]: types of the events; attributes [m, A]: their
    codes, -1 where an event has none; last [m]: the last known code of the chosen attribute.
    """
    name = coding.attributes[place].column.name
    parts = {
        "picked type": 1 + kind.astype(np.int64),
        f"{LAST} {name}": last.astype(np.int64),
    }
    if f"{CHANGE} {name}" in names:
        parts[f"{CHANGE} {name}"] = changes(coding.attributes[place])[last]
    for part in names:
        match = NAMED_FACT.fullmatch(part)
        if match is None or match[1] not in (VALUE, RANGE) or match[2] == name:
            continue
        other = coding.attribute_place(match[2])
        value = attributes[:, other].astype(np.int64)
        places = value if match[1] == VALUE else ranges(coding.attributes[other])[value.clip(0)]
        parts[part] = np.where(value >= 0, 1 + places, 0)
    return parts
