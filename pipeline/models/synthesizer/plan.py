"""The plan of a release: the table model and the pathway model under one budget.

The budget is split by shares of the squared noise budget; each model's own plan weighs 1 at scale
1, so that share s runs at scale / sqrt(s). One common scale is then found on the joint privacy loss
distribution of everything together (privacy_rules.md 14).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import dp_accounting as dpa

from pipeline.dp import accounting
from pipeline.dp.events import canonical, composed
from pipeline.dp.gaussian import gaussian_mu
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.sgd import DpSgd
from pipeline.models.formats import require_format
from pipeline.models.pathway.plan import settings as pathway_settings
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.table.plan import plan as table_plans
from pipeline.models.table.plan import settings as table_settings
from pipeline.models.table.plan.plan import TablePlan
from pipeline.params import PrivacyParams, TrainParams
from pipeline.schema.values import Schema

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The joint mechanism of a release: a function of the declaration and the params alone.
    Public.
    """

    dataset: str
    epsilon: float  # of the request; the event's own is at most this
    delta: float
    scale: float  # common to all mechanisms
    table_share: float  # of the squared noise budget
    table: TablePlan
    pathway: PathwayPlan | None  # None: the dataset has no events, and the table has everything

    @property
    def table_scale(self) -> float:
        """The scale of the table model's mechanisms."""
        return self.scale / math.sqrt(self.table_share)

    @property
    def pathway_scale(self) -> float:
        """The scale of the pathway model's mechanisms."""
        return self.scale / math.sqrt(1 - self.table_share)

    @property
    def dp_event(self) -> dpa.DpEvent:
        """What is reserved, run and compared with the tape."""
        parts = [self.table.dp_event(self.table_scale)]
        if self.pathway is not None:
            parts.append(self.pathway.dp_event(self.pathway_scale))
        return canonical(dpa.ComposedDpEvent(parts))

    @property
    def counts_event(self) -> dpa.DpEvent:
        """Counts and choices among `dp_event`: what the store of measurements holds in the end,
        each once.
        """
        events = [self.table.counts_event(self.table_scale)]
        if self.pathway is not None:
            counts = self.pathway.counts(self.pathway_scale).values()
            events += [mechanism.dp_event for mechanism in counts]
        return canonical(dpa.ComposedDpEvent(events))

    def mechanisms(self) -> list[dict[str, Any]]:
        """One line per kind of mechanism for auditors: its noise, and the epsilon that it would
        cost alone. Together they cost less than the sum.
        """
        table, pathway = self.table, self.pathway
        lines = [self._counts_line("table_counts", table.counts(self.table_scale))]
        if (choice := table.choice(self.table_scale)) is not None:
            lines.append(self._choice_line("table_choice", choice))
        sgd: dict[str, DpSgd | None] = {"table_critic": table.critic(self.table_scale)}
        if pathway is not None:
            if counts := pathway.counts(self.pathway_scale):
                lines.append(self._counts_line("pathway_counts", counts))
            sgd["pathway_sgd"] = pathway.sgd(self.pathway_scale)
        lines += [
            self._sgd_line(name, mechanism)
            for name, mechanism in sgd.items()
            if mechanism is not None
        ]
        return lines

    def _counts_line(self, name: str, counts: Mapping[str, NoisyCounts]) -> dict[str, Any]:
        sigmas = [mechanism.sigma for mechanism in counts.values()]
        return {
            "name": name,
            "kind": "discrete Gaussian counts",
            "blocks": len(counts),
            "smallest_sigma": min(sigmas),
            "largest_sigma": max(sigmas),
            "epsilon_alone": self._alone(counts.values()),
            "delta": self.delta,
        }

    def _choice_line(self, name: str, mechanism: PrivateChoice) -> dict[str, Any]:
        return {
            "name": name,
            "kind": "exponential mechanism",
            "picks": mechanism.picks,
            "epsilon_of_a_pick": mechanism.epsilon,
            "epsilon_alone": self._alone([mechanism]),
            "delta": self.delta,
        }

    def _sgd_line(self, name: str, mechanism: DpSgd) -> dict[str, Any]:
        return {
            "name": name,
            "kind": "DP-SGD",
            "steps": mechanism.steps,
            "noise_multiplier": mechanism.noise_multiplier,
            "sampling_probability": mechanism.sampling_probability,
            "l2_clip_norm": mechanism.l2_clip_norm,
            "epsilon_alone": self._alone([mechanism]),
            "delta": self.delta,
        }

    def _alone(self, mechanisms: Iterable[NoisyCounts | PrivateChoice | DpSgd]) -> float:
        return accounting.epsilon(
            composed(mechanism.dp_event for mechanism in mechanisms), self.delta
        )

    def to_json(self) -> dict[str, Any]:
        """The plan as it is charged and stored; `from_json` reads it."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "scale": self.scale,
            "table_share": self.table_share,
            "table": self.table.to_json(),
            "pathway": self.pathway.to_json() if self.pathway is not None else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """The plan as it was written. Raises Refusal for another format."""
        require_format("the plan", value.get("format"), FORMAT)
        rest = {key: value[key] for key in ("dataset", "epsilon", "delta", "scale", "table_share")}
        return cls(
            **rest,
            table=TablePlan.from_json(value["table"]),
            pathway=(
                PathwayPlan.from_json(value["pathway"]) if value["pathway"] is not None else None
            ),
        )


def _pathway_scale(epsilon: float, delta: float, table_share: float) -> float:
    """About the scale at which the pathway model will run: of one Gaussian."""
    return 1 / (gaussian_mu(epsilon, delta) * math.sqrt(1 - table_share))


def joint_plan(
    schema: Schema, privacy: PrivacyParams, train: TrainParams, observed_until: date | None = None
) -> Plan:
    """The joint plan for (epsilon, delta); delta is the smaller one of the params' and the
    population's.

    observed_until: the public last day of observation. Raises Refusal for settings or a
    declaration that cannot be planned.
    """
    size, delta = schema.population.nominal_size, min(privacy.delta, schema.population.delta)
    has_events = schema.events is not None
    whole = train.shares["table"] + (train.shares["pathway"] if has_events else 0.0)
    share = train.shares["table"] / whole if has_events else 1.0
    settings = table_settings.from_mapping(train.table, epsilon=privacy.epsilon)
    table_plan = table_plans.plan(
        schema.patients,
        schema.implications,
        schema.targets,
        settings,
        size,
        schema.order,
        schema.equal,
        schema.related,
        schema.known,
    )
    pathway_plan = None
    if has_events:
        own = pathway_settings.from_mapping(train.pathway, size)
        expected = _pathway_scale(privacy.epsilon, delta, share)
        pathway_plan = plan_pathways(schema, own, size, observed_until, expected)

    def at(scale: float) -> Plan:
        return Plan(
            dataset=schema.dataset,
            epsilon=privacy.epsilon,
            delta=delta,
            scale=scale,
            table_share=share,
            table=table_plan,
            pathway=pathway_plan,
        )

    scale, _ = accounting.calibrate(lambda scale: at(scale).dp_event, privacy.epsilon, delta)
    return at(scale)
