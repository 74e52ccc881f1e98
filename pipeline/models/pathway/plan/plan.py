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
from pipeline.models.grammar import Grammar
from pipeline.models.pathway.domain.encode import codec, gaps
from pipeline.models.pathway.domain.facts import counted_choices
from pipeline.models.pathway.domain.rhythm import declared_rhythms
from pipeline.models.pathway.domain.state import Coding
from pipeline.models.pathway.domain.tables import CalibrationTable, calibration_tables
from pipeline.models.pathway.fit.heads import tables_by_choice
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema

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
        """What the accountant is told: each mechanism at the noise that `fit` will use for this
        scale.
        """
        return dpa.ComposedDpEvent(
            [*(counts.dp_event for counts in self.counts(scale).values()), self.sgd(scale).dp_event]
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "settings": asdict(self.settings),
            "nominal_size": self.nominal_size,
            "tables": [asdict(table) for table in self.tables],
            "observed_until": self.observed_until.isoformat() if self.observed_until else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PathwayPlan:
        if value.get("format") != FORMAT:
            raise Refusal(
                f"plan of the pathway model: format {value.get('format')} is not {FORMAT}; plan the"
                " release again"
            )
        return cls(
            settings=PathwaySettings(**value["settings"]),
            nominal_size=value["nominal_size"],
            tables=tuple(
                CalibrationTable(
                    **{**given, "parts": tuple(given["parts"]), "sizes": tuple(given["sizes"])}
                )
                for given in value["tables"]
            ),
            observed_until=(
                date.fromisoformat(value["observed_until"]) if value["observed_until"] else None
            ),
        )


def plan(
    schema: Schema, settings: PathwaySettings, nominal_size: int, observed_until: date | None = None
) -> PathwayPlan:
    """The mechanisms for this declaration. Raises ValueError where it has no event log or
    contradicts itself.
    """
    if schema.events is None or schema.events.observation_end is None:
        observed_until = None
    made = coding(schema, settings, observed_until)
    tables = calibration_tables(made, schema.strata) if settings.calibration_share > 0 else ()
    tables_by_choice(made, tables)  # refuses what no head could learn, before anything is charged
    return PathwayPlan(
        settings=settings, nominal_size=nominal_size, tables=tables, observed_until=observed_until
    )


def coding(schema: Schema, settings: PathwaySettings, observed_until: date | None) -> Coding:
    """The public vocabulary, from the declaration and the settings."""
    grammar = Grammar(schema)
    statics = [
        codec(column, settings.static_bins)
        for column in schema.patients.values()
        if column.is_modelled
    ]
    counted = (
        counted_choices(grammar.log.counted) if settings.calibration_share > 0 else frozenset()
    )
    named = {*schema.strata, *schema.targets, *schema.quasi_identifiers}
    shown = [
        c
        for c in statics
        if c.column.name in schema.strata
        or (
            c.size <= settings.static_categories + 1
            and (settings.rich_state or c.column.name in named)
        )
    ]
    attributes = [
        codec(column, settings.attribute_bins) for column in grammar.log.attributes.values()
    ]
    return Coding(
        grammar=grammar,
        gaps=gaps(grammar.log.gap_edges, grammar.log.lower_day, grammar.log.upper_day),
        attributes=tuple(attributes),
        statics=tuple(shown),
        rich=settings.rich_state,
        observed_until=observed_until,
        counted=counted,
        rhythms=(
            declared_rhythms(grammar, grammar.log.counted) if settings.calibration_share > 0 else ()
        ),
    )
