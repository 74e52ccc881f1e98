"""Runs one stage in the workspace that is the current folder, and notes for MLflow how it ended."""

from __future__ import annotations

import importlib
import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from pipeline import environment, files, night_params
from pipeline.catalog import Home, Workspace, project_root
from pipeline.dp.errors import MechanismError
from pipeline.refusal import Refusal, Unavailable
from pipeline.runs.stage_lock import alone
from pipeline.stages import REFUSED, STAGES, Stage

logger = logging.getLogger("pipeline")

# loading MLflow takes seconds: its mirror is brought up to date here, after a failure, before a
# person is asked, by `up`
SYNCED_AFTER = ("publish",)
# somebody ends it: nothing went wrong in a row
_OF_THE_PROCESS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def run(name: str) -> int:
    """Runs the stage; returns the exit code. A refusal is one line and exit code 2.

    An unexpected error of a stage that reads rows is reported by type and place only: its message
    may hold a patient's value. The full traceback goes to `restricted/errors/`.
    """
    stage = STAGES[name]
    workspace = Workspace(Path.cwd())
    if environment.is_home_relative():
        raise Refusal(
            f"{environment.HOME_VARIABLE} is not absolute, and a stage runs in its workspace, where"
            " that would be a home of its own, with another ledger and other keys: give the"
            " absolute path"
        )
    if not workspace.params.is_file() or not workspace.dataset.is_file():
        raise Refusal(
            "this folder is no workspace of a run (no params.yaml and dataset.yaml): `python -m"
            f" pipeline {stage.name}` runs in runs/<release_id>/"
        )
    with alone(workspace):
        return _attempt(stage, workspace)


def _attempt(stage: Stage, workspace: Workspace) -> int:
    name = stage.name
    started, clock = datetime.now(UTC), time.monotonic()
    code, status = 1, "FAILED"
    try:
        _run(stage, workspace)
        code, status = 0, "FINISHED"
    # a panic of polars is no Exception, and its message may hold a value too
    except BaseException as error:
        if isinstance(error, _OF_THE_PROCESS):
            raise
        if is_refusal(error):
            code = REFUSED
            logger.error("%s: %s", name, error)
            files.write_text(workspace.restricted.refusal, f"{name}: {error}\n")
        elif isinstance(error, Unavailable):  # told as a refusal is, and tried again
            logger.error("%s: %s", name, error)
        else:
            _report_unexpected(stage, workspace, error)
    seconds = time.monotonic() - clock
    if code == 0:
        logger.info("%s: done in %.1f s", name, seconds)
    _track(workspace, name, started, seconds, status)
    _measure(name, seconds, code)
    return code


def _measure(name: str, seconds: float, code: int) -> None:
    """Tells the collector, where the home's params.yaml names one."""
    from pipeline.services import metrics

    outcome = {0: "finished", REFUSED: "refused"}.get(code, "failed")
    try:
        settings = night_params.load_metrics(Home.find().params)
    except Refusal as error:  # what is done stays done
        logger.warning("%s: nothing was measured: %s", name, error)
        return
    metrics.send_stage(settings, stage=name, outcome=outcome, seconds=seconds)


def is_refusal(error: BaseException) -> bool:
    """A stated reason to stop, which may be shown. A library's message may quote a value."""
    return isinstance(error, Refusal | MechanismError)


def _run(stage: Stage, workspace: Workspace) -> None:
    from pipeline import params
    from pipeline.schema.reader import read_schema

    module = importlib.import_module(stage.module)
    module.run(workspace, params.load(workspace.params), read_schema(workspace.dataset))


def _report_unexpected(stage: Stage, workspace: Workspace, error: BaseException) -> None:
    errors = workspace.restricted.errors
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    files.write_text(
        errors / f"{stage.name}-{stamp}.txt", "".join(traceback.format_exception(error))
    )
    if not stage.reads_rows:
        logger.error("%s: %s: %s", stage.name, type(error).__name__, error)
    logger.error(
        "%s: stopped by %s at %s; the full report is restricted/errors/%s-%s.txt",
        stage.name,
        type(error).__name__,
        place(error),
        stage.name,
        stamp,
    )


def place(error: BaseException) -> str:
    """`file:line` of the last frame in our own code, without folders; the last frame at all where
    none is ours.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(project_root() / "pipeline")
    ]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _track(workspace: Workspace, name: str, started: datetime, seconds: float, status: str) -> None:
    """Notes the stage; MLflow being away never stops a stage, because it is a mirror and catches
    up.
    """
    from pipeline.services import tracking

    tracking.note(workspace, stage=name, started=started, seconds=seconds, status=status)
    if status == "FINISHED" and name not in SYNCED_AFTER:
        return
    try:
        tracking.sync(Home.find(), workspace)
    except Exception as error:
        logger.warning(
            "%s: MLflow was not brought up to date (%s at %s); `python -m pipeline track` does it"
            " later",
            name,
            type(error).__name__,
            place(error),
        )


def main_logging(quiet: bool = False) -> None:
    """Log lines as a person reads them in a task log, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger("pipeline")
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING if quiet else logging.INFO)
    root.propagate = False
