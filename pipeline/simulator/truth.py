"""truth.json: what the simulator assumed, so that analyses of source and synthetic tables can be
held against it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from pipeline.simulator import DEFAULT_EXTRACT
from pipeline.simulator.parameters import cells, load
from pipeline.simulator.values import View

MECHANISM = (
    "Latent patients and their whole lifetimes are drawn from (seed, n_patients) alone. The first"
    " n_patients are registered, with a lag after diagnosis, by the default extract date; one ninth"
    " as many again register over the three years after it. An extract of date D shows the patients"
    " registered by D, their tumours diagnosed by D and what happened to them until min(D, death,"
    " embarkation). Ids never change. A course or episode that runs across D shows the part"
    " until D."
)


def truth(
    view: View,
    tables: Mapping[str, pl.DataFrame],
    *,
    n_patients: int,
    seed: int,
    extract_date: date,
    dirt: Mapping[str, Any],
) -> dict[str, Any]:
    """JSON-ready: parameters, hazard and odds ratios, targets per cell, counts, dirt."""
    latent = view.latent
    rows = view.tumours
    return {
        "note": "Simulated data: nobody is behind these records.",
        "seed": seed,
        "n_patients": n_patients,
        "extract_date": extract_date.isoformat(),
        "default_extract_date": DEFAULT_EXTRACT.isoformat(),
        "mechanism": MECHANISM,
        "counts": {name: table.height for name, table in tables.items()},
        "tumours_per_cell": {
            cells()[i].name: int(n)
            for i, n in enumerate(np.bincount(latent.tumours.cell[rows], minlength=len(cells())))
        },
        "net_survival_targets": {
            cell.name: {
                "1y": round(float(cell.stages @ cell.s1), 4),
                "5y": round(float(cell.stages @ cell.s5), 4),
            }
            for cell in cells()
        },
        "hazard_ratios": load()["survival"]["hazard_ratios"],
        "treatment_log_odds": load()["modifiers"],
        "treatment_odds_ratios": {
            name: [round(float(np.exp(x)), 3) for x in values]
            for name, values in load()["modifiers"].items()
        },
        "dirt": dict(dirt),
        "parameters": load(),
    }
