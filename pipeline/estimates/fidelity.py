"""How far an extract is from its source, told by charged noisy counts alone: bounds that hold the
noise, so that a card may print them (privacy_rules.md 17).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.estimates.shares import size
from pipeline.estimates.values import Distance
from pipeline.models.noisy_tables import NoisyTable, coarse

DRAWS = 200
SEED = 0  # public
KINDS = {  # of tables, by how their names begin
    "single columns": ("one/", "tree/"),
    "pairs of columns that were counted": ("pair/",),
    "facts about pathways": ("pathway/",),
}


def distances(tables: Sequence[NoisyTable], counts: Mapping[str, np.ndarray]) -> list[Distance]:
    """One per kind of table. counts: of the extract, as `counts_of` gives them.

    The distance to the source differs from that to the noisy counts by at most the distance of
    noisy counts to the source (the triangle inequality), whose law is known: half the sum of the
    absolute noise, in patients, over the number of patients.
    """
    n = max(size(tables).patients, 1.0)
    rows = []
    for what, prefixes in KINDS.items():
        chosen = [table for table in coarse(tables) if table.name.startswith(prefixes)]
        if chosen:
            rows.append(_mean(what, chosen, counts, n))
    return rows


def _mean(
    what: str, tables: Sequence[NoisyTable], counts: Mapping[str, np.ndarray], n: float
) -> Distance:
    rng = np.random.default_rng(SEED)
    gaps, noise = [], np.zeros(DRAWS)
    for table in tables:
        extract = counts[table.name]
        gap = extract / max(extract.sum(), 1) - table.counts / n
        gaps.append(min(0.5 * float(np.abs(gap).sum()), 1.0))
        # half the sum of k absolute normals: their mean and spread, drawn at once for many cells
        k, scale = table.counts.size, table.sigma / n / 2
        mean, spread = np.sqrt(2 / np.pi) * k, np.sqrt((1 - 2 / np.pi) * k)
        noise += np.minimum(scale * (mean + spread * rng.normal(size=DRAWS)), 1.0)
    room = float(np.quantile(noise / len(tables), 0.975))
    middle = float(np.mean(gaps))
    return Distance(
        what=what,
        tables=len(tables),
        to_noisy=middle,
        low=max(middle - room, 0.0),
        high=min(middle + room, 1.0),
    )
