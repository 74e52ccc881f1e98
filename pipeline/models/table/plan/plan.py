"""Everything that will read rows, with all noise fixed from declared numbers before a row is read
(privacy_rules.md 10).

Base sigmas are written for scale 1, where the sum of 1/sigma^2 over the counts is 1 less the
critic's share. The joint calibration picks `scale`; `mechanisms(scale)` are then both what
`dp_event` accounts and what `fit` runs (privacy_rules.md 13).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dp_accounting as dpa

from pipeline.dp.accounting import round_sigma_up
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.sgd import DpSgd
from pipeline.models.formats import require_format
from pipeline.models.table.domain.encode import BRANCHING, Domain, column_domain
from pipeline.models.table.domain.legality import check_implications
from pipeline.models.table.plan.blocks import Block, blocks_of, max_groups
from pipeline.models.table.plan.settings import TableSettings
from pipeline.refusal import Refusal
from pipeline.schema.static_rules import order_pairs
from pipeline.schema.values import Column, Implication

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """The model's mechanism. A function of the declaration, the settings and the nominal size
    alone.
    """

    columns: tuple[Column, ...]
    implications: tuple[Implication, ...]
    # declared targets that are drawn from all other columns at once (target.py)
    targets: tuple[str, ...]
    settings: TableSettings
    nominal_size: int  # public; patients the population is declared to have
    leaves: int  # of a numeric column's grid, at most
    blocks: tuple[Block, ...]
    critic_noise: float | None  # noise multiplier of the critic at scale 1; None: no critic
    # (low, high): columns of numbers whose values never fall, closed (`order_pairs`)
    orders: tuple[tuple[str, str], ...] = ()
    # copy -> the column that it repeats, by place among all columns that are drawn
    copies: tuple[tuple[int, str, str], ...] = ()

    def domains(self) -> dict[str, Domain]:
        return {column.name: column_domain(column, self.leaves) for column in self.columns}

    def counts(self, scale: float) -> dict[str, NoisyCounts]:
        """The noisy counts by name, in the order in which they are measured."""
        return {
            block.name: NoisyCounts(
                name=block.name,
                sigma=round_sigma_up(block.base_sigma * scale),
                cells=block.cells,
            )
            for block in self.blocks
        }

    def critic(self, scale: float) -> DpSgd | None:
        if self.critic_noise is None:
            return None
        return DpSgd(
            steps=self.settings.critic_steps,
            sampling_probability=critic_probability(self.settings, self.nominal_size),
            l2_clip_norm=self.settings.critic_clip_norm,
            noise_multiplier=round_sigma_up(self.critic_noise * scale),
            expected_batch_size=self.settings.critic_batch,
        )

    def dp_event(self, scale: float) -> dpa.DpEvent:
        """What the accountant is told: every mechanism once, at the noise that `fit` will use for
        this scale.
        """
        critic = self.critic(scale)
        events = [mechanism.dp_event for mechanism in self.counts(scale).values()]
        return dpa.ComposedDpEvent(events + ([critic.dp_event] if critic else []))

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "columns": [asdict(c) for c in self.columns],
            "implications": [
                {
                    "given": i.given,
                    "then": i.then,
                    "allowed": {k: list(v) for k, v in i.allowed.items()},
                }
                for i in self.implications
            ],
            "targets": list(self.targets),
            "settings": asdict(self.settings),
            "nominal_size": self.nominal_size,
            "leaves": self.leaves,
            "blocks": [asdict(b) for b in self.blocks],
            "critic_noise": self.critic_noise,
            # plans of before know neither
            **({"orders": [list(pair) for pair in self.orders]} if self.orders else {}),
            **({"copies": [list(copy) for copy in self.copies]} if self.copies else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TablePlan:
        """The plan as it was written. Raises Refusal for another format."""
        require_format("the table model's plan", value.get("format"), FORMAT)
        return cls(
            columns=tuple(_column(c) for c in value["columns"]),
            implications=tuple(
                Implication(
                    given=i["given"],
                    then=i["then"],
                    allowed={k: tuple(v) for k, v in i["allowed"].items()},
                )
                for i in value["implications"]
            ),
            targets=tuple(value["targets"]),
            settings=TableSettings(**value["settings"]),
            nominal_size=value["nominal_size"],
            leaves=value["leaves"],
            blocks=tuple(Block(**b) for b in value["blocks"]),
            critic_noise=value["critic_noise"],
            orders=tuple((low, high) for low, high in value.get("orders", ())),
            copies=tuple((place, copy, name) for place, copy, name in value.get("copies", ())),
        )


def plan(
    schema_columns: Mapping[str, Column],
    implications: Sequence[Implication],
    targets: Sequence[str],
    settings: TableSettings,
    nominal_size: int,
    orders: Sequence[Sequence[str]] = (),
    equals: Sequence[Sequence[str]] = (),
) -> TablePlan:
    """The mechanisms for these columns. Columns that are not modelled are left out, and so are
    copies of others (`equals`): they cost nothing.

    Raises Refusal for a column without a public domain, or an implication that cannot be kept.
    """
    first = {copy: names[0] for names in equals for copy in names[1:]}
    everything = [column for column in schema_columns.values() if column.is_modelled]
    columns = tuple(column for column in everything if column.name not in first)
    if not columns:
        raise Refusal("the table model needs at least one modelled column")
    leaves = _leaves(nominal_size, settings)
    domains = {column.name: column_domain(column, leaves) for column in columns}
    modelled = tuple(i for i in implications if i.given in domains and i.then in domains)
    check_implications(domains, modelled)
    sizes = {name: max_groups(domain, settings) for name, domain in domains.items()}
    # drawn in declared order, each legal given those before it
    pairs = order_pairs([[name for name in chain if name in domains] for chain in orders])
    implied = {name for i in modelled for name in (i.given, i.then)} | {
        name for pair in pairs for name in pair
    }
    heads = _heads([t for t in targets if t not in implied], sizes, settings)
    blocks = tuple(blocks_of(domains, sizes, heads, settings, nominal_size))
    return TablePlan(
        columns=columns,
        implications=modelled,
        targets=heads,
        settings=settings,
        nominal_size=nominal_size,
        leaves=leaves,
        blocks=blocks,
        critic_noise=_critic_noise(settings, nominal_size),
        orders=pairs,
        copies=tuple(
            (place, column.name, first[column.name])
            for place, column in enumerate(everything)
            if column.name in first
        ),
    )


def _heads(
    targets: Sequence[str], sizes: Mapping[str, int], settings: TableSettings
) -> tuple[str, ...]:
    """The targets that are drawn from all other columns."""
    return tuple(
        t
        for t in targets
        if t in sizes
        and sizes[t] <= settings.target_classes
        and len(sizes) > 1
        and settings.target_share != 0
    )


def _critic_noise(settings: TableSettings, nominal_size: int) -> float | None:
    if settings.critic_share <= 0:
        return None
    # mu of DP-SGD is about q sqrt(steps) / noise multiplier: good enough to split a budget by
    q = critic_probability(settings, nominal_size)
    return q * math.sqrt(settings.critic_steps / settings.critic_share)


def critic_probability(settings: TableSettings, nominal_size: int) -> float:
    return min(1.0, settings.critic_batch / nominal_size)


def _leaves(nominal_size: int, settings: TableSettings) -> int:
    """Leaves that the nominal size can fill: 16 for a few hundred patients, 256 for 5,000,
    `max_leaves` from about 20,000 on.
    """
    depth = min(max(math.ceil(math.log(max(nominal_size, 1) / 40, BRANCHING)), 2), 8)
    return int(min(BRANCHING**depth, settings.max_leaves))


def _column(value: Mapping[str, Any]) -> Column:
    """JSON has lists where a column has tuples."""
    fields: dict[str, Any] = {
        key: tuple(item) if isinstance(item, list) else item for key, item in value.items()
    }
    return Column(**fields)
