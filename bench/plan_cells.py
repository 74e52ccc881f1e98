"""What a plan leaves alone: within each cell of a plan, how far the other columns of planned rows
are from rows of the same cell of an unplanned draw of the same model, beside two unplanned draws.

    python -m bench.plan_cells run --source adult=PATH
        fits each model once, draws by each plan, keeps the figures; pathways are simulated
    python -m bench.plan_cells write
        writes docs/plans.md from bench/results/

No real row is compared, so that the figures show what the plan does and nothing else. In each cell
the three samples have the same number of rows: TVD falls with it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from bench import pathway_data, pathways, report, table_data
from pipeline.draw_plan import Condition, DrawPlan, plan_of
from pipeline.evaluation import fidelity
from pipeline.experiments.arms import model_of
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.params import PrivacyParams
from pipeline.plan_slices import meets
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

RESULTS = table_data.ROOT / "bench" / "results" / "plan_cells.json"
EPSILON = 3.0
SPLIT = table_data.FRESH[0]
PATIENTS = 20_000  # simulated ones that the model of pathways is fitted to
DRAW = 40_000  # rows of a draw by a plan
FEWEST = 200  # rows of a cell in each draw: with fewer there is next to nothing to see
YEAR = 365
PATHWAY = "pathway: "  # before what is told of a pathway; no declared name holds a colon
DOC = report.DOCS / "plans.md"
# an unplanned draw is larger, so that rare cells have rows
FREE = {"adult": 400_000, "simulated_pathways": 120_000}
PLANS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "adult": {
        "as many women as men": {"shares": [{"columns": ["sex"], "even": True}]},
        "half with a high income": {
            "shares": [{"columns": ["income"], "cells": [{"income": ">50K", "share": 0.5}]}]
        },
        "race x income x sex, every combination as often": {
            "shares": [{"columns": ["race", "income", "sex"], "even": True}]
        },
        "women; a fifth to 25, three tenths from 60 on": {
            "where": {"sex": "Female"},
            "shares": [
                {
                    "columns": ["age"],
                    "cells": [{"age": "17..25", "share": 0.2}, {"age": "60..90", "share": 0.3}],
                }
            ],
        },
    },
    "simulated_pathways": {
        "as many women as men": {"shares": [{"columns": ["GENDER"], "even": True}]},
        "half at stage 4": {
            "shares": [{"columns": ["STAGE_GROUP"], "cells": [{"STAGE_GROUP": "4", "share": 0.5}]}]
        },
        "40 to 60 years; as many women as men, a tenth at stage 4": {
            "where": {"AGE": "40..60"},
            "shares": [
                {"columns": ["GENDER"], "even": True},
                {"columns": ["STAGE_GROUP"], "cells": [{"STAGE_GROUP": "4", "share": 0.1}]},
            ],
        },
    },
}


def figures(
    schema: Schema, model: Synthesizer, plan: DrawPlan, free: Sequence[pl.DataFrame]
) -> dict[str, float]:
    """Of one plan. free: two unplanned draws, as `facts` gives them."""
    rows = facts(schema, model, DRAW, 1, plan)
    cells = [{**plan.where, **cell.conditions} for cell in model.plan_cells(plan, DRAW)]
    pairs = [within(schema, cell, rows, *free) for cell in cells]
    enough = [pair for pair in pairs if pair is not None]
    to_free, floor = (np.array([pair[at] for pair in enough]) for at in (0, 1))
    everybody = [codes[: len(rows)] for codes in (free[0], free[1])]
    return {
        "cells": len(cells),
        "enough": len(enough),
        "rows": float(np.median([pair[2] for pair in enough])),
        "within": float(to_free.mean()),
        "floor": float(floor.mean()),
        "most_above": float((to_free - floor).max()),
        "overall": distance(schema, plan.columns, rows, everybody[0]),
        "overall_floor": distance(schema, plan.columns, everybody[1], everybody[0]),
        "points_off": 100 * shares_off(schema, plan, rows),
    }


def facts(
    schema: Schema, model: Synthesizer, n: int, seed: int, plan: DrawPlan | None = None
) -> pl.DataFrame:
    """n drawn patients: static columns, and of their pathways how many events there are of each
    type (0, 1, more) and the year of the end.
    """
    parts = [_facts(schema, log) for log in model.sample(n, seed, n, plan)]
    return pl.concat(parts)


def _facts(schema: Schema, log: PatientLog) -> pl.DataFrame:
    if log.events is None or schema.events is None:
        return log.patients
    is_end = pl.col("type").is_in(list(schema.events.terminal))
    counts = [
        (pl.col("type") == name).sum().clip(0, 2).alias(f"{PATHWAY}{name}")
        for name in schema.events.types
    ]
    end = (pl.col("day").filter(is_end).last() // YEAR).fill_null(-1) + 1
    pathway = log.events.group_by(ID).agg(*counts, end.alias(f"{PATHWAY}year of the end"))
    return log.patients.join(pathway, on=ID, how="left", maintain_order="left").with_columns(
        pl.col(name).fill_null(0) for name in pathway.columns if name != ID
    )


def within(
    schema: Schema, cell: Mapping[str, Condition], *draws: pl.DataFrame
) -> tuple[float, float, int] | None:
    """(planned to unplanned, unplanned to unplanned, rows of each) in one cell; None where a draw
    has too few rows in it. draws: a planned and two unplanned ones.
    """
    is_in = pl.all_horizontal(meets(schema.patients[name], one) for name, one in cell.items())
    rows = [draw.filter(is_in) for draw in draws]
    n = min(len(one) for one in rows)
    if n < FEWEST:
        return None
    by_plan, first, second = (one.head(n) for one in rows)
    return distance(schema, cell, by_plan, first), distance(schema, cell, second, first), n


def distance(
    schema: Schema, left_out: Sequence[str] | Mapping[str, Any], *rows: pl.DataFrame
) -> float:
    """Mean TVD over all pairs of columns but those left out; numbers in 20 quantile bins of the
    second sample.
    """
    first, second = rows
    columns = {name: one for name, one in schema.patients.items() if name not in left_out}
    own, other = fidelity.binned(second, first, columns)
    for name in (name for name in first.columns if name.startswith(PATHWAY)):
        own[name] = second[name].cast(pl.Int32).to_numpy()
        other[name] = first[name].cast(pl.Int32).to_numpy()
    return float(np.mean(fidelity.two_way(own, other)))


def shares_off(schema: Schema, plan: DrawPlan, rows: pl.DataFrame) -> float:
    """The largest gap between a share of the plan and that of the rows."""
    gaps = []
    for target in plan.targets:
        if target.is_even:
            sizes = rows.group_by(target.columns).len()["len"].to_numpy() / len(rows)
            gaps.append(float(np.abs(sizes - 1 / len(sizes)).max()))
        for cell in target.cells:
            is_in = pl.all_horizontal(
                meets(schema.patients[name], one)
                for name, one in zip(target.columns, cell.conditions, strict=True)
            )
            gaps.append(abs(len(rows.filter(is_in)) / len(rows) - (cell.share or 0.0)))
    return max(gaps)


def models(options: argparse.Namespace) -> Iterator[tuple[str, Schema, Synthesizer]]:
    """Each dataset with its model at EPSILON."""
    [adult] = table_data.tables_of([options.source])
    train, _ = adult.split(SPLIT)
    model = model_of(adult.schema, train, EPSILON)
    assert isinstance(model, Synthesizer)
    yield adult.name, adult.schema, model
    schema = pathways.schema_for(PATIENTS, 1e-6)
    privacy = PrivacyParams(epsilon=EPSILON, delta=1e-6)
    yield (
        pathway_data.read_declaration().dataset,
        schema,
        pathways.fit(schema, PATIENTS, privacy, SPLIT, {})[0],
    )


def run(options: argparse.Namespace) -> None:
    for name, schema, model in models(options):
        free = [facts(schema, model, FREE[name], seed) for seed in (2, 3)]
        for words, plan in PLANS[name].items():
            key = {"dataset": name, "plan": words, "epsilon": EPSILON}
            if not report.holds(RESULTS, key):
                report.add(RESULTS, key | figures(schema, model, plan_of(plan), free))
                sys.stderr.write(f"{report.read(RESULTS)[-1]}\n")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per plan."""
    lines = [
        "| model | plan | shares off by, points | cells | rows of each | within cells | floor |"
        " worst cell above floor | all rows | floor |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            row["dataset"],
            row["plan"],
            f"{row['points_off']:.3f}",
            f"{row['enough']:.0f} of {row['cells']:.0f}",
            f"{row['rows']:,.0f}",
            *(f"{row[name]:.3f}" for name in ("within", "floor")),
            f"{row['most_above']:+.3f}",
            *(f"{row[name]:.3f}" for name in ("overall", "overall_floor")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument(
        "--source", required=True, metavar="adult=PATH", help="the folder with Adult's file"
    )
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "run":
        run(options)
    else:
        report.between("plan cells", "plan_cells.py", table(report.read(RESULTS)), DOC)


if __name__ == "__main__":
    main()
