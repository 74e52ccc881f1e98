"""Raking: corrects the heads of implied columns for the masking that drawing does. Post-processing:
reads the model and noisy margins only.

A code blurs neighbours: half breast, half prostate. Drawing the sex first and masking what it
forbids then shifts the site's margin. The heads of implied columns are multiplied by one factor per
group until draws have the noisy margins again (Deming and Stephan 1940, on draws).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.draw.conditional_sampler import conditional_sampler
from pipeline.models.table.values.symbols import Relations, Symbols

_ROUNDS = 6
_ROWS = 20_000


def rake(
    table: Mapping[str, np.ndarray],
    margins: Mapping[str, np.ndarray],
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    relations: Relations,
    seed: int,
) -> dict[str, np.ndarray]:
    """The table with corrected heads; unchanged where nothing is implied.

    table[name]: float32 [codes, groups]. margins[name]: float64 [groups], sums to 1. relations: of
    whole columns. seed: public, of the draws.
    """
    table = dict(table)
    names: Sequence[str] = list(domains)
    related = [name for name in names if any(name in pair for pair in relations)]
    for round_ in range(_ROUNDS if related else 0):
        draws = (
            conditional_sampler(names, domains, symbols, table, relations)
            .draw(_ROWS, np.random.default_rng([seed, round_]))
            .symbols
        )
        for name in related:
            margin = (
                np.bincount(symbols[name].group[draws[name]], minlength=symbols[name].groups)
                / _ROWS
            )
            factor = np.clip((margins[name] + 1e-4) / (margin + 1e-4), 0.2, 5.0)
            weights = table[name] * factor
            table[name] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return table
