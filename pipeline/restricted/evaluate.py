"""Stage evaluate: the gate on synthetic rows, and the restricted report for the custodian.

The gate reads synthetic rows only and can stop a release. The figures compare with real patients;
they inform a person, and no code acts on them (privacy_rules.md 4, 5).
"""

from __future__ import annotations

import html
import logging
import shutil
import traceback
import warnings
from pathlib import Path

import polars as pl

from pipeline import files
from pipeline.catalog import Report, Workspace
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.evaluation import report
from pipeline.evaluation.gate_words import gate_warnings
from pipeline.evaluation.page import metrics, page, to_json
from pipeline.models import noisy_tables
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.restricted import account_table
from pipeline.restricted.report_content import report_content
from pipeline.schema.values import Schema

ACCOUNT = "What ingest kept, repaired and dropped"

logger = logging.getLogger(__name__)


class ExpectationsFailed(Refusal):
    """Synthetic rows break a rule that stops a release. Nothing is published; the charge stays."""


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `restricted/report`. Raises ExpectationsFailed where the gate on synthetic rows says
    no.
    """
    with files.replacing_folder(workspace.restricted.report.root) as folder:
        out = Report(folder)
        logger.info("evaluate: checking the synthetic tables against every rule")
        gate = check_synthetic(
            schema,
            workspace.released.extract.parquet,
            workspace.released.synthetic.root,
            extract_date=params.release.extract_date,
            out=out.gate.root,
            noisy_counts=noisy_tables.category_counts(
                noisy_tables.load(workspace.released.model / "table")
            ),
            gate=params.gate,
            report="../../index.html",
        )
        # of a release that the gate stops, its results are what remains
        shutil.rmtree(workspace.restricted.gate.root, ignore_errors=True)
        if not gate.passed:
            shutil.copytree(out.gate.root, workspace.restricted.gate.root)
            raise ExpectationsFailed(f"{gate.refusal}; nothing is published")
        for warning in gate_warnings(files.read_json(out.gate.results, {})):
            logger.warning("evaluate: the gate warns: %s", warning)
        logger.info("evaluate: comparing with the holdout, for the custodian")
        _try_to_report(workspace, params, schema, out)
    logger.info("evaluate: the report is written")


def _try_to_report(workspace: Workspace, params: Params, schema: Schema, out: Report) -> None:
    """The report, or a page that says it could not be made. Odd rows of a holdout stop nothing
    (privacy_rules.md 2, 5).

    Nothing is logged about it, and no library warns: a line that depends on rows would be an answer
    too.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write_report(workspace, params, schema, out)
    except (Exception, pl.exceptions.PanicException) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        message = (
            f"The figures could not be made: {type(error).__name__} at"
            f" {Path(last.filename).name}:{last.lineno}."
        )
        files.write_json(out.figures, {"could_not_be_made": message})
        sections = {
            ACCOUNT: account_table.section(account_table.read(workspace.restricted)),
            "Figures": (
                f"<p>{html.escape(message)} The gate on synthetic rows, in gate.json, is not"
                " concerned.</p>"
            ),
        }
        files.write_text(
            out.page, report.page(schema.title, f"Release {params.release.id}", sections)
        )


def write_report(workspace: Workspace, params: Params, schema: Schema, out: Report) -> None:
    """`figures.json` and `index.html`: what report_content gathers."""
    content = report_content(workspace, params, schema, out, _say)
    files.write_json(out.figures, {**to_json(content), "metrics": metrics(content)})
    files.write_text(out.page, page(content))


def _say(text: str) -> None:
    logger.info("evaluate: %s", text)
