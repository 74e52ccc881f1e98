"""The blocks of noisy counts of a table, each with its noise: a function of declared sizes alone
(privacy_rules.md 10).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.models.table.domain.encode import BRANCHING, Domain
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.plan.shares import Shape, Shares, shares
from pipeline.models.table.values.symbols import Pair
from pipeline.refusal import Refusal


@dataclass(frozen=True, kw_only=True)
class Block:
    """One vector of noisy counts: `base_sigma` is its noise at scale 1, `cells` its declared
    maximum.
    """

    name: str
    base_sigma: float
    cells: int


def max_groups(domain: Domain, settings: TableSettings) -> int:
    """Most groups that a column can end up with: declared, whatever the rows hold."""
    if domain.is_numeric:
        return min(domain.leaves, settings.bins) + domain.size - domain.leaves
    return min(domain.size, settings.max_groups)


def level_sizes(domain: Domain) -> list[int]:
    """Nodes at each level of a numeric column's tree, from the one below the root to the leaves."""
    return [
        -(-domain.leaves // BRANCHING ** (domain.depth - level))
        for level in range(1, domain.depth + 1)
    ]


@dataclass(frozen=True)
class _Kind:
    """Blocks of one kind: cells of each by name, their share of the squared noise budget, and the
    exponent by which a block weighs more with its cells.
    """

    cells: Mapping[str, int]
    share: float
    exponent: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Which mechanisms a plan has: its blocks, the pairs among them that are looked at by name, and
    the epsilon of a pick of its private choice at scale 1 (None: it has none).
    """

    blocks: tuple[Block, ...]
    named_pairs: tuple[Pair, ...]
    choice_epsilon: float | None


def looks_of(
    domains: Mapping[str, Domain],
    sizes: Mapping[str, int],
    targets: Sequence[str],
    related: Sequence[Pair],
    settings: TableSettings,
    nominal_size: int,
) -> Looks:
    """Trees, one-ways, pairs by name, pairs that are chosen, targets, pivots.

    related: pairs that are looked at first, whatever the choice. Kinds that are absent leave their
    share to the others. Raises Refusal where the given shares leave nothing for pairs.
    """
    pairs = list(combinations(domains, 2))
    part = shares(settings, _shape(domains), nominal_size)
    is_every = part.looks == len(pairs)
    # a third of the looks stays free to find what nobody declared
    named = pairs if is_every else list(related)[: max(part.looks - math.ceil(part.looks / 3), 0)]
    chosen = math.ceil(settings.again_part * len(pairs)) if is_every else part.looks - len(named)
    kinds = _kinds(domains, sizes, targets, settings, part)
    cells = {f"pair/{a}/{b}": sizes[a] * sizes[b] for a, b in named}
    most = max((sizes[a] * sizes[b] for a, b in pairs), default=0)
    choice = part.choice if pairs and not is_every else 0.0
    rest = 1 - sum(kind.share for kind in kinds if kind.cells) - choice
    if pairs and rest < 0.03:
        raise Refusal(
            f"train.table: shares sum to {1 - rest:.3f}; leave at least 0.03 for looks at pairs"
        )
    coarse = _coarse_cells(domains, sizes, settings)
    kinds.append(_Kind(coarse, part.coarse * rest))
    rest *= 1 - part.coarse * bool(coarse)
    # a look weighs the same, named or chosen; where every pair is named, the strongest come again
    by_name = rest * (1 - part.again if is_every else len(named) / part.looks)
    kinds.append(_Kind(cells, by_name, settings.pair_exponent if is_every else 0.0))
    kinds.append(_Kind({f"look/{k}": most for k in range(chosen)}, rest - by_name))
    present = [kind for kind in kinds if kind.cells and kind.share > 0]
    whole = (sum(kind.share for kind in present) + choice) / (1 - settings.critic_part)
    return Looks(
        blocks=tuple(_blocks(present, whole)),
        named_pairs=tuple(named),
        # the loss of a pick has a third of epsilon squared as its variance (pld.py)
        choice_epsilon=math.sqrt(3 * choice / whole / chosen) if choice and chosen else None,
    )


def _shape(domains: Mapping[str, Domain]) -> Shape:
    return Shape(
        numbers=sum(domain.is_numeric for domain in domains.values()),
        ordered=sum(domain.is_ordered for domain in domains.values()),
        columns=len(domains),
    )


def _coarse_cells(
    domains: Mapping[str, Domain], sizes: Mapping[str, int], settings: TableSettings
) -> dict[str, int]:
    groups = {
        name: min(sizes[name], settings.coarse_groups)
        for name, domain in domains.items()
        if domain.is_ordered
    }
    return {f"coarse/{a}/{b}": groups[a] * groups[b] for a, b in combinations(groups, 2)}


def _blocks(kinds: Sequence[_Kind], whole: float) -> Iterator[Block]:
    for kind in kinds:
        weights = {name: cells**kind.exponent for name, cells in kind.cells.items()}
        total = sum(weights.values())
        for name, cells in kind.cells.items():
            yield Block(
                name=name,
                base_sigma=math.sqrt(total * whole / (kind.share * _on_grid(weights[name]))),
                cells=cells,
            )


def _kinds(
    domains: Mapping[str, Domain],
    sizes: Mapping[str, int],
    targets: Sequence[str],
    settings: TableSettings,
    part: Shares,
) -> list[_Kind]:
    """All kinds but looks at pairs, which take the rest."""
    trees = {
        f"tree/{name}/{level}": size + domain.size - domain.leaves
        for name, domain in domains.items()
        if domain.is_numeric
        for level, size in enumerate(level_sizes(domain), start=1)
    }
    one_ways = {
        f"one/{name}": max(domain.size, sizes[name])
        for name, domain in domains.items()
        if not domain.is_numeric
    }
    pivots = range(math.comb(min(settings.pivot_columns, len(sizes) - 1), 2))
    return [
        _Kind(trees, part.bins),
        _Kind(one_ways, part.one_ways, settings.one_way_exponent),
        _Kind(
            {f"target/{t}/{x}": sizes[t] * sizes[x] for t in targets for x in sizes if x != t},
            part.target,
        ),
        _Kind(
            {
                f"pivot/{t}/{k}": sizes[t] * settings.pivot_groups**2
                for t in targets
                for k in pivots
            },
            part.pivot,
        ),
    ]


def _on_grid(weight: float) -> float:
    """The weight on a grid of tenths, so that blocks share sigmas and their accounting stays
    quick.
    """
    return float(1.1 ** round(math.log(weight, 1.1)))
