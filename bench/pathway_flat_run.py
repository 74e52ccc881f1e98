"""The flattened baseline of the pathway benchmark: synthesizers of tables on pathways of fixed
width, scored as pathways.

    python -m bench.pathway_flat_run --patients 20000 --models fresh format dpmm-mst table

Figures are those of pipeline/evaluation/pathway_score.py for the columns that the flat table
carries; `detection` with statics has no meaning there and is null, and `detection_events` does not
see event attributes, which no model here draws: kinder than what the pathway model is asked.
`illegal` counts patients. Kind too: what `unflatten` does with pathways that outlive their end
(shrunk; cut off and a later end scored worse) was chosen on MST's figures for 20,000 patients, on
the same holdout. Every run replaces its own entry in bench/results/pathways_flat.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from bench.pathway_data import read_declaration, simulate_log
from bench.pathway_flat import SLOTS, columns, flat_declaration, flatten, narrow, narrow_declaration
from bench.pathway_unflatten import unflatten
from bench.peer_runs import FOLDER, RUNS, Prepared, Task, column_domain, python_of, run_peer
from bench.tables import DELTA, timed_fit
from pipeline import files
from pipeline.evaluation.pathway_score import figures
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "pathways_flat.json"
EPSILON = 1.0
NAMES = MappingProxyType(
    {
        "fresh": "fresh sample (floor)",
        "format": "flattened and back, not private",
        "dpmm-mst": "MST (dpmm)",
        "dpmm-aim": "AIM (dpmm)",
        "table": "table model of Syndasera",
    }
)


def draw_rows(
    model: str, schema: Schema, rows: pd.DataFrame, options: argparse.Namespace
) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """(drawn flat rows, costs); no rows and the error where the run failed."""
    if model == "format":
        return rows, {}
    if model == "table":
        table_model, seconds = timed_fit(
            flat_declaration(schema, len(rows)), pl.from_pandas(rows), EPSILON, **options.settings
        )
        synthetic = (
            table_model.sample(len(rows), np.random.default_rng(options.seed))
            .select(*columns(schema))
            .to_pandas()
        )
        return synthetic, {"fit_cpu_seconds": round(seconds, 2), "version": version_of_ours()}
    with tempfile.TemporaryDirectory() as folder:
        train, domain, out = (
            Path(folder) / name for name in ("train.parquet", "domain.json", "drawn.parquet")
        )
        rows.to_parquet(train)
        domain.write_text(
            json.dumps({name: column_domain(column) for name, column in columns(schema).items()}),
            encoding="utf-8",
        )
        costs = run_peer(
            Task(model, "pathways", EPSILON),
            Prepared(train, domain, len(rows), DELTA),
            python_of(RUNS[model].environment, options.environments),
            out,
            options.timeout,
        )
        return (pd.read_parquet(out) if out.is_file() else None), costs


def version_of_ours() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]


def score(schema: Schema, holdout: PatientLog, other: PatientLog) -> dict[str, float | None]:
    scores = figures(narrow_declaration(schema), narrow(holdout), narrow(other))
    return {
        name: None if name == "detection" else float(f"{value:.5g}")
        for name, value in scores.items()
    }


def keep(patients: int, name: str, row: dict[str, Any]) -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    results.setdefault(str(patients), {})[name] = row
    with files.replacing(RESULTS) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--models", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument(
        "--seed", type=int, default=5, help="of the training sample; the holdout's is 100 more"
    )
    parser.add_argument("--settings", type=json.loads, default={}, help="of our table model, JSON")
    parser.add_argument("--environments", type=Path, default=FOLDER, help="of the peers")
    parser.add_argument(
        "--timeout", type=float, default=2400.0, help="seconds that one peer may take"
    )
    options = parser.parse_args()
    schema = read_declaration()
    train, holdout = (
        simulate_log(schema, options.patients, seed) for seed in (options.seed, options.seed + 100)
    )
    rows = flatten(schema, train)
    for model in options.models:
        facts: dict[str, Any] = {"seed": options.seed, "slots": SLOTS}
        if model == "fresh":
            scores: dict[str, Any] = score(schema, holdout, train)
        else:
            synthetic, costs = draw_rows(model, schema, rows, options)
            scores = (
                score(schema, holdout, unflatten(schema, synthetic, options.seed))
                if synthetic is not None
                else {}
            )
            facts |= costs if model == "format" else {"epsilon": EPSILON, "delta": DELTA, **costs}
        keep(options.patients, NAMES[model], scores | facts)
        sys.stderr.write(f"{options.patients} {NAMES[model]}: {scores | facts}\n")


if __name__ == "__main__":
    main()
