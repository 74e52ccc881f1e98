"""Settings of the pathway model: public numbers from params.yaml and the declared size, fixed before a row is read."""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PathwaySettings:
    """What trains on patients' rows (steps to calibration) and what is free (the rest). Defaults by size: `for_size`."""

    steps: int = 300                  # noisy updates
    expected_batch_size: int = 512    # patients per step, a public constant
    l2_clip_norm: float = 10.0        # bound of one patient's gradient, all events together
    learning_rate: float = 0.03
    warm_up_steps: int = 10
    average_decay: float = 0.98       # exponential moving average of the weights
    weight_decay: float = 0.0         # pull of each step towards zero, times the learning rate
    width: int = 64                   # hidden units
    calibration_share: float = 0.2    # of the pathway's squared noise budget; 0 = no calibration tables
    candidates: int = 4               # pathways drawn per patient, of which the calibration picks one
    calibration_patients: int = 4000  # synthetic patients on which the weights of the tables are found
    static_categories: int = 40       # static columns with more categories are not shown to the network (strata always are)
    rich_state: bool = True           # condition on all static columns and past attributes; False: strata, targets, identifiers only
    static_bins: int = 10             # public bins of a continuous or date column as a condition
    attribute_bins: int = 24          # public bins of a continuous attribute
    micro_batch: int = 512            # patients whose gradients are in memory at once
    seed: int = 1                     # public seed of the initial weights and of the calibration's draws, never of noise

    def __post_init__(self) -> None:
        for name in ("steps", "expected_batch_size", "l2_clip_norm", "learning_rate", "width", "candidates", "calibration_patients",
                     "static_categories", "static_bins", "attribute_bins", "micro_batch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"train.pathway.{name} must be above 0, got {getattr(self, name)}")
        for name in ("average_decay", "calibration_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"train.pathway.{name} must be in [0, 1), got {getattr(self, name)}")
        if self.warm_up_steps < 0 or self.weight_decay < 0:
            raise ValueError("train.pathway: warm_up_steps and weight_decay must not be negative")


# nominal size: steps, batch, learning rate, clip norm: pathway_model.md at 100,000 and above; below, our own simulator at 5,000
_BY_SIZE = ((20_000, 300, 512, 0.02, 16.0), (100_000, 400, 1024, 0.02, 20.0), (2_000_000, 400, 2048, 0.015, 30.0))


def for_size(nominal_size: int) -> PathwaySettings:
    """Defaults for a declared size: the next measured one at or above three quarters of it; below that, a quarter of everybody a step."""
    if nominal_size < 15_000:
        return PathwaySettings(steps=200, expected_batch_size=max(min(512, math.ceil(nominal_size / 4)), 16), learning_rate=0.02, l2_clip_norm=16.0,
                               average_decay=0.99, candidates=8, rich_state=False)
    _, steps, batch, rate, clip = next((row for row in _BY_SIZE if nominal_size <= row[0] * 4 / 3), _BY_SIZE[-1])
    return PathwaySettings(steps=steps, expected_batch_size=batch, learning_rate=rate, l2_clip_norm=clip, rich_state=nominal_size >= 50_000)


def from_mapping(given: Mapping[str, Any], nominal_size: int) -> PathwaySettings:
    """Settings from params.yaml `train.pathway` over the defaults for the size. Raises ValueError for a key that does not exist."""
    known = {field.name for field in fields(PathwaySettings)}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"train.pathway has no setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return replace(for_size(nominal_size), **dict(given))
