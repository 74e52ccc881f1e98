"""Stage train: runs the reserved mechanisms on patients' rows, and lets the model out only if they
are exactly what was charged.
"""

from __future__ import annotations

import fcntl
import getpass
import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import torch

from pipeline import files
from pipeline.catalog import Checkpoints, Home, Restricted, Workspace
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.mirror import Mirror
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.ledger import Ledger, Reservation, cohorts_in_words
from pipeline.models.synthesizer.fit import fit_synthesizer
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.params import Params, PrivacyParams, TrainParams
from pipeline.refusal import Refusal
from pipeline.restricted import travelling_model
from pipeline.restricted.ingest import origin
from pipeline.restricted.ingest.cohorts import Register
from pipeline.runs import chain_heads, locks
from pipeline.runs.training_mirror import training_mirror
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `released/model` and `restricted/tape.json`. A retry goes on from the checkpoint, with
    new noise; once the model is finished, it gives that model out again.

    Raises Refusal where the ledger does not hold exactly this plan, where the rows are of others
    than it was charged to, or where what was executed
    differs, or another model was trained under the charge: then there is no model.
    """
    home, release_id = Home.find(), str(params.release.id)
    ledger, mirror = Ledger(home.ledger), training_mirror(home, release_id)
    plan = charged_plan(workspace, ledger, release_id)
    if (reservation := ledger.reservation(release_id)) is not None:
        _refuse_other_rows(workspace, params, schema, reservation)
    checkpoints = workspace.restricted.checkpoints
    with _alone(checkpoints), locks.across_hosts(home, f"the training of {release_id}"):
        for leftover in checkpoints.root.rglob("*.tmp"):
            if leftover.is_file():
                leftover.unlink()
        token, rows = _token(workspace.restricted, mirror)
        ledger.begin_training(release_id, getpass.getuser(), token)
        travelling_model.fetch(checkpoints, mirror)
        if not checkpoints.model.is_dir():
            _refuse_rows_read_anew(workspace.restricted, token, rows)
            _train(workspace, params, schema, plan, mirror)
        travelling_model.keep(checkpoints, mirror)
        Tape.load(checkpoints.tape).check(plan.dp_event)
        ledger.note_model(release_id, getpass.getuser(), files.folder_sha256(checkpoints.model))
        chain_heads.note(home, release_id)
        _hand_out(checkpoints, workspace)
    logger.info("train: the executed mechanisms are the reserved ones; the model is written")


def _train(
    workspace: Workspace, params: Params, schema: Schema, plan: Plan, mirror: Mirror | None
) -> None:
    """The model of the plan, kept in `checkpoints` where no stage removes it: whatever happens
    after that, it is this one model that is handed out.
    """
    restricted, checkpoints, tape = workspace.restricted, workspace.restricted.checkpoints, Tape()
    patients = pl.read_parquet(restricted.patients)
    events = pl.scan_parquet(restricted.events) if restricted.events.is_file() else None
    model = fit(
        schema, patients, events, plan, checkpoints, tape, train=params.train, mirror=mirror
    )
    tape.check(plan.dp_event)
    # the store holds the plan's counts and no others
    Tape([MeasurementStore(checkpoints.counts).measured_event()]).check(plan.counts_event)
    tape.save(checkpoints.tape)
    model.save(checkpoints.model)


def _hand_out(checkpoints: Checkpoints, workspace: Workspace) -> None:
    """Copies of the finished model and its tape, where the next stages find them."""
    with files.replacing(workspace.restricted.tape) as temporary:
        shutil.copyfile(checkpoints.tape, temporary)
    with files.replacing_folder(workspace.released.model) as folder:
        shutil.copytree(checkpoints.model, folder, dirs_exist_ok=True)


def charged_plan(workspace: Workspace, ledger: Ledger, release_id: str) -> Plan:
    """The plan of reservation.json, if the ledger holds exactly it for this release and has not
    closed it. Refusal otherwise.
    """
    reservation = files.read_json(workspace.restricted.reservation)
    if reservation is None:
        raise Refusal(
            "there is no reservation.json: nothing is charged for this run; run reserve first"
        )
    if reservation["release_id"] != release_id:
        raise Refusal(
            f"reservation.json is of {reservation['release_id']}, this run is {release_id}; run"
            " reserve again"
        )
    plan, charge = Plan.from_json(reservation["plan"]), ledger.reservation(release_id)
    if (
        charge is None
        or not Tape([charge.event]).matches(plan.dp_event)
        or files.json_sha256(reservation["plan"]) != charge.plan_sha256
    ):
        raise Refusal(
            f"{release_id}: the ledger does not hold this plan; no row was read. Run reserve again,"
            " or use a new release id"
        )
    if (state := ledger.state(release_id)) != "reserved":
        raise Refusal(f"{release_id} is {state} in the ledger; use a new release id")
    return plan


def _refuse_other_rows(
    workspace: Workspace, params: Params, schema: Schema, reservation: Reservation
) -> None:
    """The rows that ingest let through must be those of the population and the cohorts that are
    charged, from the source that the charge names (privacy_rules.md 16).
    """
    rows, home = origin.read(workspace.restricted), Home.find()
    if rows is None:
        if workspace.restricted.checkpoints.model.is_dir():
            return  # the model is finished: no row is opened
        raise Refusal("there are no rows in this workspace: run ingest first")
    charged = (reservation.population, reservation.source_label, reservation.cohorts)
    if charged != (rows.population, rows.source_label, rows.cohorts):
        raise Refusal(
            f"{reservation.release_id} was charged to"
            f" {_in_words(reservation.population, reservation.cohorts, reservation.source_label)},"
            f" and ingest opened {_in_words(rows.population, rows.cohorts, rows.source_label)}: no"
            " row was read. Run all stages again from ingest under a new release id"
        )
    if (whose := origin.of_charge(files.read_json(workspace.restricted.reservation))) is not None:
        origin.refuse_other_rows(replace(rows, mark=None), whose, [])
    marks = Register(home, schema).marks() if schema.population.cohorts else []
    origin.refuse_other_rows(rows, origin.origin_of(schema, params.release), marks)


def _in_words(population: str, cohorts: tuple[str, ...], label: str | None) -> str:
    return f"{cohorts_in_words(cohorts)} of population {population} (source {label!r})"


def _token(restricted: Restricted, mirror: Mirror | None = None) -> tuple[str, str]:
    """The training token: a random text, written before the first measurement. The ledger accepts
    one token per release, so that nobody can measure again until they like the noise
    (privacy_rules.md 12). Of several hosts the first one's holds.

    With it the digest of the rows that training began on, which the ledger is not told; empty where
    an older version wrote the token.
    """
    path = restricted.checkpoints.token
    if not path.is_file():
        token = new_token()
        files.write_text(path, f"{token} {origin.rows_digest(restricted, token)}\n")
    if mirror is not None:
        text = mirror.keep("token", path.read_bytes()).decode("utf-8")
        if text != path.read_text(encoding="utf-8"):
            files.write_text(path, text)
    token, _, rows = path.read_text(encoding="utf-8").strip().partition(" ")
    return token, rows


def _refuse_rows_read_anew(restricted: Restricted, token: str, rows: str) -> None:
    """Raises Refusal where training began on other rows than lie here: ingest ran again meanwhile,
    and what was measured, what would be measured and what people saw were not of one source.
    """
    if rows and rows != origin.rows_digest(restricted, token):
        raise Refusal(
            "training began on other rows than ingest has written since: a charge is for the rows"
            " of one ingest, so no row was opened. Let ingest read the same rows again, or use a"
            " new release id"
        )


def new_token() -> str:
    """A random text; no row goes into it."""
    return uuid.uuid4().hex


def fit(
    schema: Schema,
    patients: pl.DataFrame,
    events: pl.DataFrame | pl.LazyFrame | None,
    plan: Plan,
    checkpoints: Checkpoints,
    tape: Tape,
    *,
    train: TrainParams,
    mirror: Mirror | None = None,
) -> Synthesizer:
    """Runs the plan with a fresh noise stream; measurements and steps in `checkpoints`, and in the
    mirror, are used, not repeated.
    """
    return fit_synthesizer(
        schema,
        patients,
        events,
        plan,
        store=MeasurementStore(checkpoints.counts, mirror),
        tape=tape,
        noise=NoiseStream(),
        checkpoint=checkpoints.root,
        progress=lambda text: logger.info("train: %s", text),
        device=device(train.device),
        checkpoint_steps=train.checkpoint_steps,
        mirror=mirror,
    )


def fit_public(
    schema: Schema,
    patients: pl.DataFrame,
    events: pl.DataFrame | None,
    epsilon: float,
    delta: float,
    settings: TrainParams,
    out: Path,
    extract_date: date | None = None,
) -> Synthesizer:
    """For benchmarks: plan, fit and save in one go, without the ledger. Refuses a dataset that is
    not declared public.
    """
    if not schema.public:
        raise Refusal(
            f"{schema.dataset} is not declared `public: true`: a model of it is made by a charged"
            " run (`python -m pipeline refresh`)"
        )
    plan = joint_plan(schema, PrivacyParams(epsilon=epsilon, delta=delta), settings, extract_date)
    with tempfile.TemporaryDirectory() as folder:
        tape = Tape()
        model = fit(schema, patients, events, plan, Checkpoints(Path(folder)), tape, train=settings)
    tape.check(plan.dp_event)
    model.save(out, foreign=files.everything)
    return model


def device(setting: str) -> str:
    """`auto` takes CUDA where there is one."""
    if setting == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return setting


@contextmanager
def _alone(checkpoints: Checkpoints) -> Iterator[None]:
    """Two processes never train one release at once. The lock goes with its process, however that
    ends.
    """
    checkpoints.root.mkdir(parents=True, exist_ok=True)
    with checkpoints.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                "another process trains this release already; wait for it, or end it first"
            ) from None
        yield
