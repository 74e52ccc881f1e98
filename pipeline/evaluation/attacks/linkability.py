"""Linkability: whether a synthetic row joins two halves of what is known of one patient.

After Giomi and others (2023), section 5.2. The search is ours (see neighbours.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.attacks.neighbours import nearest_rows
from pipeline.evaluation.attacks.rows import Rows, Tables, sample_of, scaled
from pipeline.evaluation.attacks.trials import Trial, of_patients

NEIGHBOURS = 5
SHOWS = (
    "Two people who each know half of a patient's columns are led to the same synthetic row, more"
    " often for patients who were trained on: the table joins what was apart."
)
CANNOT_SHOW = (
    "A low figure speaks of this split of the columns; two other holders of data may know other"
    " halves, and a few copies among thousands of patients stay below chance."
)


def trials(tables: Tables, random: np.random.Generator) -> list[Trial]:
    """One trial. The halves are every second quasi-identifier, or column where fewer than two are
    declared; a patient is linked where the NEIGHBOURS nearest synthetic rows of both halves share
    a row. One order decides among rows at the same distance in both halves.
    """
    names = [name for name in tables.schema.quasi_identifiers if name in tables.train.names]
    names = names if len(names) >= 2 else list(tables.train.names)
    targets, controls, synthetic = sample_of(tables, random)
    order = random.permutation(len(synthetic))
    success, control_success = (
        _links(people, synthetic, (names[::2], names[1::2]), order)
        for people in (targets, controls)
    )
    return [
        of_patients("linkability", success, control_success, shows=SHOWS, cannot_show=CANNOT_SHOW)
    ]


def _links(
    people: Rows, synthetic: Rows, halves: Sequence[Sequence[str]], order: np.ndarray
) -> np.ndarray:
    """bool [people]"""
    if not all(halves):
        return np.zeros(0, bool)  # a table of one column has no halves
    first, second = (_nearest(people.only(half), synthetic.only(half), order) for half in halves)
    return (first[:, :, None] == second[:, None, :]).any(axis=(1, 2))


def _nearest(people: Rows, synthetic: Rows, order: np.ndarray) -> np.ndarray:
    queries, table = scaled((people, synthetic), synthetic)
    return nearest_rows(queries, table, synthetic.is_category, NEIGHBOURS, order)
