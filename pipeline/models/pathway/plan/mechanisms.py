"""Everything of the pathway model that will read rows, with all noise fixed from declared numbers
(privacy_rules.md 10, 13).

At scale 1 the plan's mechanisms together weigh about 1 (sum of 1/sigma^2 over counts; for DP-SGD
the squared Gaussian parameter of its central limit, q^2 T (exp(1/sigma^2) - 1), Dong, Roth, Su
2019). That limit only splits the budget: the accounting itself is by PLD.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import dp_accounting as dpa

from pipeline.dp.accounting import round_sigma_up
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.sgd import DpSgd
from pipeline.models.formats import require_format
from pipeline.models.pathway.domain.calibration_table import CalibrationTable
from pipeline.models.pathway.plan.settings import PathwaySettings

FORMAT = 4


@dataclass(frozen=True, kw_only=True)
class PathwayPlan:
    """The pathway model's mechanisms: a function of the declaration, the settings and the nominal
    size alone.
    """

    settings: PathwaySettings
    nominal_size: int  # public: patients that the population is declared to have
    tables: tuple[CalibrationTable, ...]
    observed_until: date | None = None  # public last day of observation

    @property
    def sampling_probability(self) -> float:
        """The chance of each patient to be in a step's batch."""
        return min(1.0, self.settings.expected_batch_size / self.nominal_size)

    def counts(self, scale: float) -> dict[str, NoisyCounts]:
        """The mechanism of each table, by name; a table's share of the calibration's budget goes by
        its weight.
        """
        total = sum(table.weight for table in self.tables)
        return {
            table.name: NoisyCounts(
                name=table.name,
                cells=table.cells,
                sigma=round_sigma_up(
                    scale * math.sqrt(total / (table.weight * self.settings.calibration_share))
                ),
            )
            for table in self.tables
        }

    def sgd(self, scale: float) -> DpSgd:
        """DP-SGD with the rest of the budget."""
        per_step = (
            (1 - self.settings.calibration_share)
            / (scale * self.sampling_probability) ** 2
            / self.settings.steps
        )
        return DpSgd(
            steps=self.settings.steps,
            sampling_probability=self.sampling_probability,
            l2_clip_norm=self.settings.l2_clip_norm,
            noise_multiplier=round_sigma_up(1 / math.sqrt(math.log1p(per_step))),
            expected_batch_size=float(self.settings.expected_batch_size),
        )

    def dp_event(self, scale: float) -> dpa.DpEvent:
        """The event for the accountant: each mechanism at the noise that `fit` will use for this
        scale.
        """
        return dpa.ComposedDpEvent(
            [*(counts.dp_event for counts in self.counts(scale).values()), self.sgd(scale).dp_event]
        )

    def to_json(self) -> dict[str, Any]:
        """The plan as it is stored; `from_json` reads it."""
        return {
            "format": FORMAT,
            "settings": asdict(self.settings),
            "nominal_size": self.nominal_size,
            "tables": [asdict(table) for table in self.tables],
            "observed_until": self.observed_until.isoformat() if self.observed_until else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PathwayPlan:
        """The plan that `to_json` wrote. Raises Refusal for another format."""
        require_format("the pathway model's plan", value.get("format"), FORMAT)
        return cls(
            # a model of before draws as it did
            settings=PathwaySettings(**({"end_offsets": False} | value["settings"])),
            nominal_size=value["nominal_size"],
            tables=tuple(
                CalibrationTable(
                    **{**table, "parts": tuple(table["parts"]), "sizes": tuple(table["sizes"])}
                )
                for table in value["tables"]
            ),
            observed_until=(
                date.fromisoformat(value["observed_until"]) if value["observed_until"] else None
            ),
        )
