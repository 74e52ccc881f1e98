"""Corrects the heads of implied columns for the masking that drawing does. Post-processing: reads
the model and noisy margins only.

A code blurs neighbours: half breast, half prostate. Drawing the sex first and masking what it
forbids then shifts the site's margin. The heads of implied columns are tilted by one factor per
group until draws have the noisy margins again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.models.table.domain.bins import Symbols
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.legality import Relations
from pipeline.models.table.draw.conditions import sampler

_ROUNDS = 6
_ROWS = 20_000


def keep_margins(
    table: Mapping[str, np.ndarray],
    margins: Mapping[str, np.ndarray],
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    found: Relations,
    seed: int,
) -> dict[str, np.ndarray]:
    """The table with tilted heads; unchanged where nothing is implied. table[name]: float [codes,
    groups].
    """
    table = dict(table)
    names: Sequence[str] = list(domains)
    bound = [name for name in names if any(name in key for key in found)]
    for round_ in range(_ROUNDS if bound else 0):
        drawn = (
            sampler(names, domains, symbols, table, found)
            .draw(_ROWS, np.random.default_rng([seed, round_]))
            .symbols
        )
        for name in bound:
            groups = (
                np.bincount(symbols[name].group[drawn[name]], minlength=symbols[name].groups)
                / _ROWS
            )
            factor = np.clip((margins[name] + 1e-4) / (groups + 1e-4), 0.2, 5.0)
            tilted = table[name] * factor
            table[name] = (tilted / tilted.sum(1, keepdims=True)).astype(np.float32)
    return table
