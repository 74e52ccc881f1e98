"""Everything of the pathway model that will read rows, with all noise fixed from declared numbers (privacy_rules.md 10, 13).

At scale 1 the plan's mechanisms together weigh about 1 (sum of 1/sigma^2 over counts; for DP-SGD the squared Gaussian parameter of its
central limit, q^2 T (exp(1/sigma^2) - 1), Dong, Roth, Su 2019). That limit only splits the budget: the accounting itself is by PLD.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import dp_accounting as dpa

from pipeline.dp.accounting import round_sigma_up
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.sgd import DpSgd
from pipeline.models.grammar import Grammar
from pipeline.models.pathway.encode import codec, gaps
from pipeline.models.pathway.settings import PathwaySettings
from pipeline.models.pathway.state import Coding
from pipeline.models.pathway.tables import CalibrationTable, calibration_tables
from pipeline.schema import Schema

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class PathwayPlan:
    """The pathway model's mechanisms: a function of the declaration, the settings and the nominal size alone."""

    settings: PathwaySettings
    nominal_size: int  # public: patients that the population is declared to have
    tables: tuple[CalibrationTable, ...]

    @property
    def sampling_probability(self) -> float:
        return min(1.0, self.settings.expected_batch_size / self.nominal_size)

    def counts(self, scale: float) -> dict[str, NoisyCounts]:
        """The calibration tables' mechanisms by name; they share one sigma."""
        if not self.tables:
            return {}
        sigma = round_sigma_up(scale * math.sqrt(len(self.tables) / self.settings.calibration_share))
        return {table.name: NoisyCounts(name=table.name, sigma=sigma, cells=table.cells) for table in self.tables}

    def sgd(self, scale: float) -> DpSgd:
        """DP-SGD with the rest of the budget."""
        share = 1 - (self.settings.calibration_share if self.tables else 0.0)
        per_step = share / (scale * self.sampling_probability) ** 2 / self.settings.steps
        return DpSgd(steps=self.settings.steps, sampling_probability=self.sampling_probability, l2_clip_norm=self.settings.l2_clip_norm,
                     noise_multiplier=round_sigma_up(1 / math.sqrt(math.log1p(per_step))),
                     expected_batch_size=float(self.settings.expected_batch_size))

    def dp_event(self, scale: float) -> dpa.DpEvent:
        """What the accountant is told: each mechanism at the noise that `fit` will use for this scale."""
        return dpa.ComposedDpEvent([*(counts.dp_event for counts in self.counts(scale).values()), self.sgd(scale).dp_event])

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "settings": asdict(self.settings), "nominal_size": self.nominal_size,
                "tables": [asdict(table) for table in self.tables]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PathwayPlan:
        if value.get("format") != FORMAT:
            raise ValueError(f"plan of the pathway model: format {value.get('format')} is not {FORMAT}; plan the release again")
        return cls(settings=PathwaySettings(**value["settings"]), nominal_size=value["nominal_size"],
                   tables=tuple(CalibrationTable(**{**table, "parts": tuple(table["parts"])}) for table in value["tables"]))


def plan(schema: Schema, settings: PathwaySettings, nominal_size: int) -> PathwayPlan:
    """The mechanisms for this declaration. Raises ValueError where it has no event log or contradicts itself."""
    made = coding(schema, settings)
    tables = calibration_tables(made, schema.strata) if settings.calibration_share > 0 else ()
    return PathwayPlan(settings=settings, nominal_size=nominal_size, tables=tables)


def coding(schema: Schema, settings: PathwaySettings) -> Coding:
    """The public vocabulary, from the declaration and the settings."""
    grammar = Grammar(schema)
    statics = [codec(column, settings.static_bins) for column in schema.patients.values() if column.is_modelled]
    named = {*schema.strata, *schema.targets, *schema.quasi_identifiers}
    shown = [c for c in statics if c.column.name in schema.strata
             or (c.size <= settings.static_categories + 1 and (settings.rich_state or c.column.name in named))]
    attributes = [codec(column, settings.attribute_bins) for column in grammar.log.attributes.values()]
    return Coding(grammar=grammar, gaps=gaps(grammar.log.gap_edges, grammar.log.lower_day, grammar.log.upper_day),
                  attributes=tuple(attributes), statics=tuple(shown), rich=settings.rich_state)
