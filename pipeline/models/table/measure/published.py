"""The noisy counts of a table model as a reader gets them: every column by its own cells, every
pair that was looked at by the model's groups.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.models.noisy_tables import Axis, Cell, NoisyTable
from pipeline.models.table.domain.encode import BRANCHING, Domain
from pipeline.models.table.plan.blocks import level_sizes
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.measurements import Measurements
from pipeline.models.table.values.symbols import Symbols


def published_tables(
    plan: TablePlan,
    counts: Mapping[str, np.ndarray],
    sigmas: Mapping[str, float],
    measurements: Measurements,
) -> tuple[NoisyTable, ...]:
    """counts: what each block of the plan gave out, int64, by its name; sigmas: of its noise."""
    domains = plan.domains()
    axes: dict[str, Axis] = {}
    for name, domain in domains.items():
        if domain.is_numeric:
            for level in range(1, domain.depth + 1):
                axes[f"tree/{name}/{level}"] = Axis(name, _nodes(domain, level))
        else:
            axes[f"one/{name}"] = Axis(name, tuple(Cell((label,)) for label in domain.labels()))
    singles = [
        NoisyTable(block, (axis,), counts[block].astype(float), sigmas[block])
        for block, axis in axes.items()
    ]
    groups = {
        name: Axis(name, _groups(domains[name], grouping.symbols))
        for name, grouping in measurements.groupings.items()
    }
    pairs = [
        NoisyTable(f"pair/{a}/{b}", (groups[a], groups[b]), pair.counts, pair.sigma)
        for (a, b), pair in measurements.pairs.items()
    ]
    return (*singles, *pairs)


def _nodes(domain: Domain, level: int) -> tuple[Cell, ...]:
    """The nodes of one level of a number's tree, then its atoms and missing."""
    width = BRANCHING ** (domain.depth - level)
    first = np.arange(level_sizes(domain)[level - 1]) * width
    last = np.minimum(first + width, domain.leaves) - 1
    lows, highs = domain.values(domain.starts[first]), domain.values(domain.stops[last] - 1)
    cells = [Cell(low=low, high=high) for low, high in zip(lows, highs, strict=True)]
    cells += [Cell(low=atom, high=atom) for atom in domain.atoms]
    return tuple(cells + [Cell((None,))] * int(domain.column.nullable))


def _groups(domain: Domain, symbols: Symbols) -> tuple[Cell, ...]:
    """The model's groups; of a number those from the lowest to the highest value of each."""
    cells = []
    for group in range(symbols.groups):
        places = np.flatnonzero(symbols.group == group)
        if not domain.is_numeric:
            labels = domain.labels()
            cells.append(Cell(tuple(labels[place] for place in places)))
        elif symbols.missing[places].any():
            cells.append(Cell((None,)))
        elif (symbols.atom[places] >= 0).any():
            atom = domain.atoms[int(symbols.atom[places].max())]
            cells.append(Cell(low=atom, high=atom))
        else:
            low = domain.values(symbols.start[places].min()[None])[0]
            high = domain.values(symbols.stop[places].max()[None] - 1)[0]
            cells.append(Cell(low=float(low), high=float(high)))
    return tuple(cells)
