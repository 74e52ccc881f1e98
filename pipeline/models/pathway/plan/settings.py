"""Settings of the pathway model: public numbers from params.yaml and the declared size, fixed
before a row is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pipeline.refusal import Refusal


@dataclass(frozen=True, kw_only=True)
class PathwaySettings:
    """What trains on patients' rows (steps to calibration) and what is free (the rest). Defaults by
    size: `for_size`.
    """

    steps: int = 300  # noisy updates
    expected_batch_size: int = 512  # patients per step, a public constant
    l2_clip_norm: float = 10.0  # bound of one patient's gradient, all events together
    learning_rate: float = 0.03
    warm_up_steps: int = 10
    average_decay: float = 0.98  # exponential moving average of the weights
    weight_decay: float = 0.0  # pull of each step towards zero, times the learning rate
    width: int = 64  # hidden units
    recurrent: bool = False  # a GRU over the events so far joins the hidden layer
    # what would come after the end of observation goes to it, and does not crowd before it
    end_offsets: bool = True
    # of the pathway's squared noise budget; 0 = no calibration tables
    calibration_share: float = 0.75
    # of calibration: draw, pick by the tables, learn what was picked; free, as all below
    passes: int = 3
    pass_patients: int = 20_000  # synthetic patients of a pass
    pass_candidates: int = 6  # of each
    pass_steps: int = 250  # updates of the network in a pass
    pass_rate: float = 0.005  # learning rate of a pass
    # pathways drawn per patient, of which the calibration picks one
    candidates: int = 4
    # synthetic patients on which the weights of the tables are found
    calibration_patients: int = 20_000
    # static columns with more categories are not shown to the network (strata always are)
    static_categories: int = 40
    # condition on all static columns and past attributes; False: strata, targets, identifiers only
    rich_state: bool = True
    static_bins: int = 10  # public bins of a continuous or date column as a condition
    attribute_bins: int = 24  # public bins of a continuous attribute
    micro_batch: int = 512  # patients whose gradients are in memory at once
    # public seed of the initial weights and of the calibration's draws, never of noise
    seed: int = 1

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "expected_batch_size",
            "l2_clip_norm",
            "learning_rate",
            "width",
            "candidates",
            "calibration_patients",
            "pass_patients",
            "pass_candidates",
            "pass_steps",
            "pass_rate",
            "static_categories",
            "static_bins",
            "attribute_bins",
            "micro_batch",
        ):
            if not getattr(self, name) > 0:
                raise Refusal(f"train.pathway.{name} must be above 0, got {getattr(self, name)}")
        for name in ("average_decay", "calibration_share"):
            if not 0 <= getattr(self, name) < 1:
                raise Refusal(f"train.pathway.{name} must be in [0, 1), got {getattr(self, name)}")
        if self.warm_up_steps < 0 or self.weight_decay < 0 or self.passes < 0:
            raise Refusal(
                "train.pathway: warm_up_steps, weight_decay and passes must not be negative"
            )


# Nominal size up to which a row holds: steps, batch, learning rate, passes, their patients, their
# steps, patients of the calibration. Chosen on the source simulator with seed 1
# (docs/benchmarks.md); a clip norm of 14 cuts few gradients short, because later events weigh less
# (state.weight).
_BY_SIZE = (
    (15_000, 200, 512, 0.02, 2, 10_000, 120, 5_000),
    (50_000, 300, 512, 0.02, 4, 80_000, 250, 20_000),
    (250_000, 300, 1024, 0.02, 3, 80_000, 250, 20_000),
    (math.inf, 400, 2048, 0.015, 3, 80_000, 250, 20_000),
)


def for_size(nominal_size: int) -> PathwaySettings:
    """Defaults for a declared size. The smallest are trained with at most a quarter of everybody a
    step, and sooner.
    """
    _, steps, batch, rate, passes, patients, pass_steps, calibration = next(
        row for row in _BY_SIZE if nominal_size <= row[0]
    )
    small = nominal_size <= _BY_SIZE[0][0]
    return PathwaySettings(
        steps=steps,
        expected_batch_size=max(min(batch, math.ceil(nominal_size / 4)), 16),
        learning_rate=rate,
        l2_clip_norm=14.0,
        average_decay=0.99 if small else 0.98,
        candidates=8 if small else 4,
        rich_state=nominal_size >= 50_000,
        passes=passes,
        pass_patients=patients,
        pass_steps=pass_steps,
        calibration_patients=calibration,
    )


def from_mapping(values: Mapping[str, Any], nominal_size: int) -> PathwaySettings:
    """Settings from params.yaml `train.pathway` over the defaults for the size. Raises Refusal
    for a key that does not exist.
    """
    names = {field.name for field in fields(PathwaySettings)}
    if unknown := sorted(set(values) - names):
        raise Refusal(
            f"train.pathway has no setting {', '.join(unknown)}; there are"
            f" {', '.join(sorted(names))}"
        )
    return replace(for_size(nominal_size), **dict(values))
