"""Everything that will read rows, with all noise fixed from declared numbers before a row is read
(privacy_rules.md 10).

Base sigmas are written for scale 1, where the sum of 1/sigma^2 over the counts is 1 less the
critic's share. The joint calibration picks `scale`; `mechanisms(scale)` are then both what
`dp_event` accounts and what `fit` runs (privacy_rules.md 13).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import dp_accounting as dpa

from pipeline.dp.accounting import round_sigma_up
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.selection import PrivateChoice, round_epsilon_down
from pipeline.dp.sgd import DpSgd
from pipeline.models.formats import require_format
from pipeline.models.table.domain.encode import BRANCHING, Domain, column_domain
from pipeline.models.table.domain.legality import check_implications
from pipeline.models.table.plan.blocks import Block, looks_of, max_groups
from pipeline.models.table.plan.engines import check_plannable
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.symbols import Pair
from pipeline.refusal import Refusal
from pipeline.schema.static_rules import order_pairs
from pipeline.schema.values import Column, Implication, KnownTable, Level

FORMAT = 3


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
    named_pairs: tuple[Pair, ...]  # looked at whatever the choice
    choice_epsilon: float | None  # of a pick at scale 1; None: no private choice
    critic_noise: float | None  # noise multiplier of the critic at scale 1; None: no critic
    # (low, high): columns of numbers whose values never fall, closed (`order_pairs`)
    orders: tuple[tuple[str, str], ...] = ()
    # copy -> the column that it repeats, by place among all columns that are drawn
    copies: tuple[tuple[int, str, str], ...] = ()
    known: tuple[KnownTable, ...] = ()  # published tables of modelled columns

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

    def choice(self, scale: float) -> PrivateChoice | None:
        """The choice of the pairs that are looked at beside those named."""
        if self.choice_epsilon is None:
            return None
        return PrivateChoice(
            name="choice",
            epsilon=round_epsilon_down(min(self.choice_epsilon / scale, 16.0)),
            picks=sum(block.name.startswith("look/") for block in self.blocks),
            candidates=math.comb(len(self.columns), 2),
        )

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
        rest = [critic.dp_event] if critic else []
        return dpa.ComposedDpEvent([self.counts_event(scale), *rest])

    def counts_event(self, scale: float) -> dpa.DpEvent:
        """What the store of measurements holds in the end, each once: counts and the choice."""
        events = [mechanism.dp_event for mechanism in self.counts(scale).values()]
        choice = self.choice(scale)
        return dpa.ComposedDpEvent(events + ([choice.dp_event] if choice else []))

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
            "named_pairs": [list(pair) for pair in self.named_pairs],
            "choice_epsilon": self.choice_epsilon,
            "critic_noise": self.critic_noise,
            "orders": [list(pair) for pair in self.orders],
            "copies": [list(copy) for copy in self.copies],
            "known": [asdict(table) for table in self.known],
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
            named_pairs=tuple((a, b) for a, b in value["named_pairs"]),
            choice_epsilon=value["choice_epsilon"],
            critic_noise=value["critic_noise"],
            orders=tuple((low, high) for low, high in value["orders"]),
            copies=tuple((place, copy, name) for place, copy, name in value["copies"]),
            known=tuple(_known_table(table) for table in value["known"]),
        )


def plan(
    schema_columns: Mapping[str, Column],
    implications: Sequence[Implication],
    targets: Sequence[str],
    settings: TableSettings,
    nominal_size: int,
    orders: Sequence[Sequence[str]] = (),
    equals: Sequence[Sequence[str]] = (),
    related: Sequence[Sequence[str]] = (),
    known: Sequence[KnownTable] = (),
) -> TablePlan:
    """The mechanisms for these columns. Columns that are not modelled are left out, and so are
    copies of others (`equals`): they cost nothing. related: columns that belong together, looked at
    first, in this order. known: published tables, whose pairs are looked at after them, so that
    noisy counts can deny a table.

    Raises Refusal for a column without public domain, and a rule or engine that cannot be planned.
    """
    check_plannable(settings.engine, settings.critic_part)
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
    heads = _heads(_free(targets, modelled, pairs), sizes, settings)
    tables = tuple(table for table in known if set(table.columns) <= set(domains))
    first_looks = _pairs([*related, *(table.columns for table in tables)], list(domains))
    looks = looks_of(domains, sizes, heads, first_looks, settings, nominal_size)
    return TablePlan(
        columns=columns,
        implications=modelled,
        targets=heads,
        settings=settings,
        nominal_size=nominal_size,
        leaves=leaves,
        blocks=looks.blocks,
        named_pairs=looks.named_pairs,
        choice_epsilon=looks.choice_epsilon,
        critic_noise=_critic_noise(settings, nominal_size),
        orders=pairs,
        copies=_copies(everything, first),
        known=tables,
    )


def _free(
    targets: Sequence[str], implications: Sequence[Implication], orders: Sequence[Pair]
) -> list[str]:
    """The targets that no implication and no declared order binds."""
    bound = {name for i in implications for name in (i.given, i.then)}
    bound |= {name for pair in orders for name in pair}
    return [target for target in targets if target not in bound]


def _copies(
    columns: Sequence[Column], first: Mapping[str, str]
) -> tuple[tuple[int, str, str], ...]:
    return tuple(
        (place, column.name, first[column.name])
        for place, column in enumerate(columns)
        if column.name in first
    )


def _pairs(groups: Iterable[Sequence[str]], names: Sequence[str]) -> list[Pair]:
    """Each pair of each group once, in the order of the groups, its columns in that of `names`."""
    pairs: dict[Pair, None] = {}
    for group in groups:
        present = sorted((name for name in group if name in names), key=names.index)
        pairs |= dict.fromkeys(combinations(present, 2))
    return list(pairs)


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
    if settings.critic_part <= 0:
        return None
    # mu of DP-SGD is about q sqrt(steps) / noise multiplier: good enough to split a budget by
    q = critic_probability(settings, nominal_size)
    return q * math.sqrt(settings.critic_steps / settings.critic_part)


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


def _known_table(value: Mapping[str, Any]) -> KnownTable:
    levels = tuple(
        tuple(Level(**(level | {"values": tuple(level["values"])})) for level in axis)
        for axis in value["levels"]
    )
    return KnownTable(
        **(
            dict(value)
            | {
                "columns": tuple(value["columns"]),
                "levels": levels,
                "shares": tuple(value["shares"]),
            }
        )
    )
