"""What the custodian's report says of a release: every figure that needs patients' rows, beside
synthetic ones. Restricted; no code acts on it (privacy_rules.md 5).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from pipeline import files
from pipeline.catalog import Report, Workspace
from pipeline.evaluation.analyses import ANALYSES, run_analyses
from pipeline.evaluation.attacks import run_attacks
from pipeline.evaluation.bounds import FidelityFigure
from pipeline.evaluation.fidelity_figures import fidelity_figures
from pipeline.evaluation.findings import Finding, Risk
from pipeline.evaluation.gate_words import gate_warnings
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.utility import Utility, utility
from pipeline.models.table.draw.independence import independent_pairs
from pipeline.models.table.draw.model import TableModel
from pipeline.params import Params
from pipeline.restricted import account_table, beside_source, same_code
from pipeline.schema.patient_log import ID, PatientLog, concat, read_patient_log
from pipeline.schema.values import Schema

Progress = Callable[[str], None]
T = TypeVar("T")


@dataclass
class _Parts:
    """The parts of a report, made one after the other. One that fails is left out and named: odd
    rows of a holdout cost one part and stop nothing (privacy_rules.md 2), and `say` is told the
    same texts whatever the rows hold.
    """

    say: Progress
    faults: list[str] = field(default_factory=list)

    def make(self, text: str, part: Callable[[], T], otherwise: T) -> T:
        self.say(text)
        try:
            return part()
        except (Exception, pl.exceptions.PanicException) as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            self.faults.append(f"{text}: could not be made: {type(error).__name__} at {place}")
            return otherwise


def report_content(
    workspace: Workspace, params: Params, schema: Schema, out: Report, progress: Progress
) -> ReportContent:
    """progress: told constant texts only."""
    parts, empty = _Parts(progress), PatientLog(pl.DataFrame())
    logs = parts.make(
        "reading patients", lambda: _logs(workspace, params), _Logs(empty, empty, empty)
    )
    figures = _figures(parts, schema, logs)
    same = parts.make("public scripts", lambda: same_code.section(schema, workspace, out.root), "")
    beside = parts.make(
        "missing values and copies",
        lambda: beside_source.section(schema, workspace),
        "",
    )
    return ReportContent(
        title=schema.title,
        release=str(params.release.id),
        schema=schema,
        real=sample(logs.source, params.evaluate.max_rows),
        synthetic=sample(logs.synthetic, params.evaluate.max_rows),
        real_name="source",
        account=account_table.section(account_table.read(workspace.restricted)),
        warnings=gate_warnings(files.read_json(out.gate.results, {})),
        analyses={analysis.number: analysis.name for analysis in ANALYSES},
        faults=parts.faults,
        independent_pairs=_independent(workspace),
        same_code=same,
        further={"Clinical rules 55 and 56": beside} if beside else {},
        links={"What the gate on synthetic rows says": "gate/docs/index.html"},
        **figures,
    )


def _figures(parts: _Parts, schema: Schema, logs: _Logs) -> dict[str, Any]:
    """Fields of ReportContent: fidelity, findings, utilities, risks."""
    three = (logs.train, logs.holdout, logs.synthetic)
    return {
        "fidelity": parts.make(
            "fidelity between two bounds",
            lambda: fidelity_figures(schema, *three, _silent).figures,
            tuple[FidelityFigure, ...](),
        ),
        "findings": parts.make(
            f"the {len(ANALYSES)} standard analyses, on source and extract",
            lambda: run_analyses(schema, logs.source, logs.synthetic, _silent),
            list[Finding](),
        ),
        "utilities": parts.make(
            "models that learned on source and on extract",
            lambda: utility(schema, *three, _silent),
            list[Utility](),
        ),
        "risks": parts.make(
            "attacks, beside patients who were held out",
            lambda: run_attacks(schema, *three, _silent),
            list[Risk](),
        ),
    }


@dataclass(frozen=True)
class _Logs:
    train: PatientLog
    holdout: PatientLog
    synthetic: PatientLog

    @property
    def source(self) -> PatientLog:
        return concat([self.train, self.holdout])


def _logs(workspace: Workspace, params: Params) -> _Logs:
    """At most `evaluate.max_patients` of the source and as many of the extract; of training
    patients and holdout the same share.
    """
    restricted, paths = workspace.restricted, workspace.released.synthetic
    most = params.evaluate.max_patients
    n_train, n_holdout = (
        int(pl.scan_parquet(path).select(pl.len()).collect().item())
        for path in (restricted.patients, restricted.holdout_patients)
    )
    share = min(1.0, most / max(n_train + n_holdout, 1))
    return _Logs(
        read_some(restricted.patients, restricted.events, round(share * n_train)),
        read_some(restricted.holdout_patients, restricted.holdout_events, round(share * n_holdout)),
        read_some(paths.patients, paths.events, most),
    )


def read_some(patients: Path, events: Path, n: int, seed: int = 0) -> PatientLog:
    """n patients of a log, drawn with a public seed, without the others in memory; all of them, in
    the order of the file, where there are no more.
    """
    rows = pl.read_parquet(patients)
    if rows.height <= n:
        return read_patient_log(patients, events)
    some = rows.sample(n, seed=seed).sort(ID)
    if not events.is_file():
        return PatientLog(some)
    theirs = pl.scan_parquet(events).join(
        some.lazy().select(ID), on=ID, how="semi", maintain_order="left"
    )
    return PatientLog(some, theirs.collect())


def _independent(workspace: Workspace) -> list[tuple[str, str]]:
    """Pairs that the model draws independently of each other; none where there is no model."""
    folder = workspace.released.model / "table"
    return list(independent_pairs(TableModel.load(folder))) if folder.is_dir() else []


def _silent(text: str) -> None:
    """How far a figure comes depends on the rows, so nobody is told."""


def sample(log: PatientLog, n: int, seed: int = 0) -> PatientLog:
    """At most n patients, drawn with a public seed."""
    if len(log.patients) <= n:
        return log
    return log.of(log.patients.sample(n, seed=seed))
