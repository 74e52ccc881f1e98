"""The pathways of a few synthetic patients of a cohort, event by event."""

from __future__ import annotations

from typing import Any

import numpy as np

from portal.public.explore.counts import Members
from portal.public.explore.table import ExploreTable

PATIENTS = 8  # patients
MOST_EVENTS = 200  # of a patient


def pathways(table: ExploreTable, members: Members, pick: int) -> list[dict[str, Any]]:
    """Of PATIENTS patients of the cohort, others for each pick, the same for everybody: `n` and
    `events`, each a day and the places of its type and code in the declaration.
    """
    size = members.size
    if not size:
        return []
    places = np.random.default_rng(pick).choice(size, min(PATIENTS, size), replace=False)
    rows = sorted(int(row) for row in (places if members.rows is None else members.rows[places]))
    marks = ", ".join("?" * len(rows))
    events = table.rows(
        f"SELECT n, day, kind, code FROM events WHERE n IN ({marks}) ORDER BY rowid", rows
    )
    by_row: dict[int, list[list[int]]] = {row: [] for row in rows}
    for n, day, kind, code in events:
        if len(by_row[n]) < MOST_EVENTS:
            by_row[n].append([day, kind, code])
    return [{"n": n + 1, "events": some} for n, some in by_row.items()]
