"""Augmentation: the patients of a run with synthetic ones below them, as a plan asks for, for
whoever may read the patients anyway. It stays in the run's restricted zone, and so does whatever
is made of it (privacy_rules.md 18). Nothing is charged: the model was paid for.
"""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl

from pipeline import files, params
from pipeline.catalog import Patients, Workspace
from pipeline.draw_plan import DrawPlan
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog, concat, read_patient_log

MARK = "synthetic"  # column that tells them apart
PARTITION_ROWS = 20_000

logger = logging.getLogger(__name__)


def run(workspace: Workspace, name: str, n: int, plan: DrawPlan, seed: int) -> Path:
    """Writes `restricted/augmented/<name>/`: patients.parquet and, with pathways, events.parquet,
    the run's training patients first, then n synthetic ones with ids of their own; the column
    `synthetic` tells them apart. Nobody who was held out is among them.

    Raises Refusal where the run has no patients or no model (it was cleared away, or stopped), for
    a plan that cannot be met, and for a declaration with a column of that name.
    """
    params.check_release_id(name, "--name")
    restricted, model = workspace.restricted, workspace.released.model
    if not restricted.patients.is_file():
        raise Refusal(
            f"{workspace.root.name}: there are no patients in this workspace; only a run that"
            " ingested a source can be augmented, not a draw"
        )
    synthesizer = Synthesizer.load(model)
    if MARK in synthesizer.schema.patients:
        raise Refusal(f"{synthesizer.schema.dataset} has a column {MARK} of its own")
    real = read_patient_log(restricted.patients, restricted.events)
    logger.info("augment: drawing %d synthetic patients", n)
    others = concat(list(synthesizer.sample(n, seed, PARTITION_ROWS, plan=plan)))
    both = _below(real, others)
    folder = restricted.augmented / name
    files.private_folder(restricted.augmented)
    with files.replacing_folder(folder, foreign=files.unsigned) as new:
        out = Patients(new)
        both.patients.write_parquet(out.patients)
        if both.events is not None:
            both.events.write_parquet(out.events)
        files.write_json(new / "plan.json", {"rows": n, "seed": seed, "plan": plan.to_json()})
        files.sign(new)
    files.keep_private(folder)
    return folder


def _below(real: PatientLog, others: PatientLog) -> PatientLog:
    """The synthetic patients below the real ones: whole numbers above theirs, of ids that are text
    the texts `synthetic-1` and so on.
    """
    kind = real.patients.schema[ID]
    if kind == pl.String:
        new_id = pl.format("synthetic-{}", pl.col(ID))
    else:
        highest = real.patients[ID].cast(pl.Int64).max()
        new_id = (pl.col(ID) + (int(highest) if isinstance(highest, int) else 0)).cast(kind)
    frames = []
    for own, other in ((real.patients, others.patients), (real.events, others.events)):
        if own is None or other is None:
            continue
        below = other.with_columns(new_id.alias(ID)).select(own.columns)
        frames.append(pl.concat([own, below.cast(dict(own.schema))]))  # type: ignore[arg-type]
    marks = [False] * len(real.patients) + [True] * len(others.patients)
    patients = frames[0].with_columns(pl.Series(MARK, marks))
    return PatientLog(patients, frames[1] if len(frames) > 1 else None)
