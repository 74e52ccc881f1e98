"""Everybody of a public or simulated source, ingested without a run: for benchmarks, experiments
and the Python door. Restricted as all ingest is; it refuses what is not declared public.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from pipeline import environment
from pipeline.catalog import Home, Workspace
from pipeline.ledger import Ledger
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.runs import places
from pipeline.schema.values import Schema


def ingested(
    schema: Schema, source: str | Path, settings: Params, scratch: Path
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """(patients, events or None) of every row of a public source; nobody is held out. scratch: a
    folder for the time being. Raises Refusal for other datasets.
    """
    from pipeline.restricted.ingest import stage

    if not schema.public:
        raise Refusal(f"{schema.dataset} is not declared `public: true`")
    refuse_other_facts(Home.find(), schema)
    release = replace(
        settings.release,
        id="benchmark",
        dataset=schema.dataset,
        source=places.resolved(source),
        source_label="benchmark",
    )
    workspace = Workspace(scratch)
    with environment.at_home(scratch / "home"):  # its key must not touch the project's own
        stage.run(
            workspace,
            replace(settings, release=release, ingest=replace(settings.ingest, holdout_share=0.0)),
            schema,
        )
    events = workspace.restricted.events
    return pl.read_parquet(workspace.restricted.patients), (
        pl.read_parquet(events) if events.is_file() else None
    )


def refuse_other_facts(home: Home, schema: Schema) -> None:
    """A declaration that calls itself public does not make public what the ledger holds as
    something else.
    """
    ledger = Ledger(home.ledger)
    if ledger.is_open(schema.population.name):
        ledger.check_declared(schema.population)
