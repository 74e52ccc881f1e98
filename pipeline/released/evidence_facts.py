"""What a card says of how sure a reader can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.estimates.values import Distance, Threshold


@dataclass(frozen=True, kw_only=True)
class EvidenceFacts:
    """From charged noisy counts and the extract alone. thresholds: in patients of the extract."""

    thresholds: Mapping[str, Sequence[Threshold]]  # by kind of table
    cells: Mapping[str, int]  # figures by evidence
    curves: Mapping[str, int]
    distances: Sequence[Distance]

    def to_json(self) -> dict[str, Any]:
        return {
            "tables": {kind: list(map(_plain, some)) for kind, some in self.thresholds.items()},
            "cells": dict(self.cells),
            "survival_and_hazard_ratios": dict(self.curves),
            "distance_to_the_source": [asdict(distance) for distance in self.distances],
        }


def _plain(threshold: Threshold) -> dict[str, Any]:
    return {
        "columns": list(threshold.table),
        "clear_from": threshold.clear,
        "within_a_tenth_from": threshold.close,
    }
