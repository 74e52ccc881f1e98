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
from pipeline.models.table.plan.shares import shares
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


def blocks_of(
    domains: Mapping[str, Domain],
    sizes: Mapping[str, int],
    targets: Sequence[str],
    settings: TableSettings,
    nominal_size: int,
) -> Iterator[Block]:
    """Trees, one-ways, coarse and fine pairs, pairs again, targets, pivots. All blocks of a kind
    weigh the same, fine pairs by their cells.

    Kinds that are absent leave their share to the others. Raises Refusal where the given shares
    leave nothing for the fine pairs.
    """
    pairs = {f"pair/{a}/{b}": sizes[a] * sizes[b] for a, b in combinations(domains, 2)}
    kinds = _kinds(domains, sizes, targets, settings, nominal_size, pairs)
    rest = 1 - sum(kind.share for kind in kinds if kind.cells)
    if pairs and rest < 0.03:
        raise Refusal(
            f"train.table: shares sum to {1 - rest:.3f}; leave at least 0.03 for the first fine"
            " look at every pair"
        )
    kinds.append(_Kind(pairs, rest, settings.pair_exponent))
    present = [kind for kind in kinds if kind.cells and kind.share > 0]
    whole = sum(kind.share for kind in present) / (1 - settings.critic_share)
    for kind in present:
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
    nominal_size: int,
    pairs: Mapping[str, int],
) -> list[_Kind]:
    """All kinds but the first fine counts of every pair, which take the rest. pairs: cells of each
    by name.
    """
    part = shares(settings, len(pairs), nominal_size)
    coarse = {name: min(size, settings.coarse_groups) for name, size in sizes.items()}
    trees = {
        f"tree/{name}/{level}": size + domain.size - domain.leaves
        for name, domain in domains.items()
        if domain.is_numeric
        for level, size in enumerate(level_sizes(domain), start=1)
    }
    one_ways = {
        f"one/{name}": sizes[name] if domain.is_numeric else max(domain.size, sizes[name])
        for name, domain in domains.items()
    }
    again = range(math.ceil(part.again_part * len(pairs)))
    pivots = range(math.comb(min(settings.pivot_columns, len(sizes) - 1), 2))
    return [
        _Kind(trees, part.bins),
        _Kind(one_ways, part.one_ways),
        _Kind(
            {f"coarse/{a}/{b}": coarse[a] * coarse[b] for a, b in combinations(domains, 2)},
            part.coarse,
        ),
        _Kind({f"again/{k}": max(pairs.values()) for k in again}, part.again),
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
