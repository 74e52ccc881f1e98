"""Everything that will read rows, with all noise fixed from declared numbers before a row is read
(privacy_rules.md 10).

Base sigmas are written for scale 1, where the sum of 1/sigma^2 over the counts is 1 less the
critic's share. The joint calibration picks `scale`; `mechanisms(scale)` are then both what
`dp_event` accounts and what `fit` runs (privacy rule 13).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dp_accounting as dpa

from pipeline.dp.accounting import round_sigma_up
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.sgd import DpSgd
from pipeline.models.table.domain.encode import BRANCHING, Domain, domain
from pipeline.models.table.domain.legality import check_implications
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.plan.shares import shares
from pipeline.refusal import Refusal
from pipeline.schema.values import Column, Implication

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Block:
    """One vector of noisy counts: `base_sigma` is its noise at scale 1, `cells` its declared
    maximum.
    """

    name: str
    base_sigma: float
    cells: int

    def mechanism(self, scale: float) -> NoisyCounts:
        return NoisyCounts(
            name=self.name, sigma=round_sigma_up(self.base_sigma * scale), cells=self.cells
        )


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

    def domains(self) -> dict[str, Domain]:
        return {column.name: domain(column, self.leaves) for column in self.columns}

    def counts(self, scale: float) -> dict[str, NoisyCounts]:
        """The noisy counts by name, in the order in which they are measured."""
        return {block.name: block.mechanism(scale) for block in self.blocks}

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
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TablePlan:
        """The plan as it was written. Raises ValueError for another format."""
        if value.get("format") != FORMAT:
            raise Refusal(
                f"plan of the table model: format {value.get('format')} is not {FORMAT}; plan the"
                " release again"
            )
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
        )


def plan(
    schema_columns: Mapping[str, Column],
    implications: Sequence[Implication],
    targets: Sequence[str],
    settings: TableSettings,
    nominal_size: int,
) -> TablePlan:
    """The mechanisms for these columns. Columns that are not modelled are left out.

    Raises ValueError for a column without a public domain, or an implication that cannot be kept.
    """
    columns = tuple(column for column in schema_columns.values() if column.is_modelled)
    if not columns:
        raise Refusal("the table model needs at least one modelled column")
    leaves = _leaves(nominal_size, settings)
    domains = {column.name: domain(column, leaves) for column in columns}
    kept = tuple(i for i in implications if i.given in domains and i.then in domains)
    check_implications(domains, kept)
    sizes = {name: cells_of(cells, settings) for name, cells in domains.items()}
    # drawn in declared order, each legal given those before it
    implied = {name for i in kept for name in (i.given, i.then)}
    heads = tuple(
        t
        for t in targets
        if t in sizes
        and t not in implied
        and sizes[t] <= settings.target_classes
        and len(sizes) > 1
        and settings.target_share != 0
    )
    blocks = tuple(_blocks(domains, sizes, heads, settings, nominal_size))
    critic_noise = None
    # mu of DP-SGD is about q sqrt(steps) / noise multiplier: good enough to split a budget by
    if settings.critic_share > 0:
        q = critic_probability(settings, nominal_size)
        critic_noise = q * math.sqrt(settings.critic_steps / settings.critic_share)
    return TablePlan(
        columns=columns,
        implications=kept,
        targets=heads,
        settings=settings,
        nominal_size=nominal_size,
        leaves=leaves,
        blocks=blocks,
        critic_noise=critic_noise,
    )


def critic_probability(settings: TableSettings, nominal_size: int) -> float:
    return min(1.0, settings.critic_batch / nominal_size)


def cells_of(cells: Domain, settings: TableSettings) -> int:
    """Most groups that a column can end up with: declared, whatever the rows hold."""
    if cells.is_numeric:
        return min(cells.leaves, settings.bins) + cells.size - cells.leaves
    return min(cells.size, settings.max_groups)


def level_sizes(cells: Domain) -> list[int]:
    """Nodes at each level of a numeric column's tree, from the one below the root to the leaves."""
    return [
        -(-cells.leaves // BRANCHING ** (cells.depth - level))
        for level in range(1, cells.depth + 1)
    ]


def _leaves(nominal_size: int, settings: TableSettings) -> int:
    """Leaves that the nominal size can fill: 16 for a few hundred patients, 256 for 5,000,
    `max_leaves` from about 20,000 on.
    """
    depth = min(max(math.ceil(math.log(max(nominal_size, 1) / 40, BRANCHING)), 2), 8)
    return int(min(BRANCHING**depth, settings.max_leaves))


def _blocks(
    domains: Mapping[str, Domain],
    sizes: Mapping[str, int],
    targets: Sequence[str],
    settings: TableSettings,
    nominal_size: int,
) -> Iterator[Block]:
    """Trees, one-ways, coarse and fine pairs, pairs again, targets, pivots. All blocks of a kind
    weigh the same, fine pairs by their cells.

    Kinds that are absent leave their share to the others. Raises ValueError where the given shares
    leave nothing for the fine pairs.
    """
    names = list(domains)
    both = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    part = shares(settings, len(both), nominal_size)
    coarse = {name: min(sizes[name], settings.coarse_groups) for name in names}
    pairs = {f"pair/{a}/{b}": sizes[a] * sizes[b] for a, b in both}
    again = {
        f"again/{k}": max(pairs.values()) for k in range(math.ceil(part.again_part * len(pairs)))
    }
    rough = {f"coarse/{a}/{b}": coarse[a] * coarse[b] for a, b in both}
    with_target = {
        f"target/{t}/{name}": sizes[t] * sizes[name] for t in targets for name in names if name != t
    }
    pivots = {
        f"pivot/{t}/{k}": sizes[t] * settings.pivot_groups**2
        for t in targets
        for k in range(math.comb(min(settings.pivot_columns, len(names) - 1), 2))
    }
    trees = {
        f"tree/{name}/{level}": size + cells.size - cells.leaves
        for name, cells in domains.items()
        if cells.is_numeric
        for level, size in enumerate(level_sizes(cells), start=1)
    }
    one_ways = {
        f"one/{name}": max(cells.size, sizes[name]) if not cells.is_numeric else sizes[name]
        for name, cells in domains.items()
    }
    kinds = [
        (trees, part.bins, 0.0),
        (one_ways, part.one_ways, 0.0),
        (rough, part.coarse, 0.0),
        (again, part.again, 0.0),
        (with_target, part.target, 0.0),
        (pivots, part.pivot, 0.0),
    ]
    rest = 1 - sum(share for blocks, share, _ in kinds if blocks)
    if pairs and rest < 0.03:
        raise Refusal(
            f"train.table: shares sum to {1 - rest:.3f}; leave at least 0.03 for the first fine"
            " look at every pair"
        )
    present = [
        (blocks, share, exponent)
        for blocks, share, exponent in [*kinds, (pairs, rest, settings.pair_exponent)]
        if blocks and share > 0
    ]
    whole = sum(share for _, share, _ in present) / (1 - settings.critic_share)
    for blocks, share, exponent in present:
        weights = {name: cells**exponent for name, cells in blocks.items()}
        total = sum(weights.values())
        for name, cells in blocks.items():
            yield Block(
                name=name,
                base_sigma=math.sqrt(total * whole / (share * _on_grid(weights[name]))),
                cells=cells,
            )


def _on_grid(weight: float) -> float:
    """The weight on a grid of tenths, so that blocks share sigmas and their accounting stays
    quick.
    """
    return float(1.1 ** round(math.log(weight, 1.1)))


def _column(value: Mapping[str, Any]) -> Column:
    listed = {"categories", "atoms", "missing", "aliases", "repairs"}
    fields: dict[str, Any] = {
        key: tuple(item) if key in listed else item for key, item in value.items()
    }
    return Column(**fields)
