"""What a workspace says about its release, as MLflow shows it: parameters, tags, metrics, files and
a description.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files, params
from pipeline.catalog import Home, Workspace, project_root
from pipeline.evaluation.gate_words import gate_warnings
from pipeline.params import Params
from pipeline.runs import programs
from pipeline.services.tracking.client import NOTE
from pipeline.services.tracking.stage_notes import Note

REPORT = "report"  # metrics and files below this name compare with real patients
DESCRIPTION = """**{release}** of `{dataset}`, made from *{label}*. {origin}

Restricted report: {report} · card: {card}

| | |
|---|---|
| Guarantee | {guarantee} |
| Gate on synthetic rows | {gate} |
| Approval | {approval} |
| Workspace | `runs/{release}` |

Metrics that begin with `{prefix}/` are the figures of the restricted report. They inform the
custodian; they never start another attempt and change no setting (privacy rules 4 and 19).{warning}
"""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything about one release but its stages. `artifacts`: where a file goes in MLflow -> the
    file.
    """

    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    artifacts: Mapping[str, Path]


def run_facts(workspace: Workspace, notes: list[Note], run_page: str) -> RunFacts:
    """Reads the workspace's files. `run_page`: the address of the run's page in MLflow, for
    links.
    """
    settings = params.load(workspace.params)
    reservation = files.read_json(workspace.restricted.reservation, {})
    gate = gate_result(workspace)
    run_params = {
        "epsilon": settings.privacy.epsilon,
        "delta": settings.privacy.delta,
        "rows": settings.release.rows,
        **reservation_params(reservation),
    }
    artifacts = _artifacts(workspace)
    tags = _tags(workspace, settings, reservation, notes)
    tags[NOTE] = _description(workspace, settings, reservation, run_page, artifacts)
    figures = files.read_json(workspace.restricted.report.figures, {})
    metrics = gate_metrics(gate) | dict(report_metrics(figures))
    return RunFacts(params=run_params, tags=tags, metrics=metrics, artifacts=artifacts)


def reservation_params(reservation: Mapping[str, Any]) -> dict[str, Any]:
    """What the reservation says, all of it public: the population, the loss, every kind of
    mechanism.
    """
    facts: dict[str, Any] = {
        "population": reservation.get("population"),
        "epsilon_reserved": reservation.get("epsilon"),
        "delta_reserved": reservation.get("delta"),
    }
    for mechanism in reservation.get("mechanisms", []):
        name = mechanism["name"]
        facts |= {f"{name}.{key}": value for key, value in mechanism.items() if key != "name"}
    return {key: value for key, value in facts.items() if value is not None}


def reservation_tags(reservation: Mapping[str, Any]) -> dict[str, Any]:
    """The ledger's entry and its chain head right after it, so that a ledger that lost entries is
    found out.
    """
    return {"ledger_entry": reservation.get("entry"), "ledger_head": reservation.get("head")}


def report_metrics(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What the report lists as its metrics, `report/analyses/A7_pass_share`, by names that MLflow
    takes.
    """
    for name, value in figures.get("metrics", {}).items():
        yield re.sub(r"[^\w./ :-]", "_", name), float(value)


def gate_result(workspace: Workspace) -> dict[str, Any]:
    """What the gate on synthetic rows said, of a refresh, of one that it stopped, or of a draw;
    empty before it.
    """
    restricted = workspace.restricted
    for gate in (restricted.gate, restricted.report.gate):
        if result := files.read_json(gate.results):
            return dict(result)
    return {}


def gate_metrics(gate: Mapping[str, Any]) -> dict[str, float]:
    if not gate:
        return {}
    return {
        "gate/passed": float(gate["passed"]),
        "gate/failures": float(len(gate["failures"])),
        "gate/warnings": float(len(gate["warnings"])),
    }


def _tags(
    workspace: Workspace, settings: Params, reservation: Mapping[str, Any], notes: list[Note]
) -> dict[str, str]:
    release, gate = settings.release, gate_result(workspace)
    request = files.read_json(workspace.restricted.run, {})
    approval = files.read_json(workspace.restricted.approval, {})
    airflow_run = next((one.airflow_run for one in reversed(notes) if one.airflow_run), None)
    tags = {
        "dataset": release.dataset,
        "data_id": release.data_id,
        "source_label": release.source_label,
        "code_version": programs.code_version(project_root()),
        "drawn_from": release.drawn_from,
        "asked_by": request.get("asked_by"),
        "mlflow.user": request.get("asked_by"),
        "airflow_run": airflow_run,
        **reservation_tags(reservation),
        "last_head": _last_head(workspace),
        "budget_warning": _budget_warning(workspace),
        "gate": ("passed" if gate["passed"] else "stopped") if gate else None,
        "approved_by": approval.get("by"),
    }
    return {key: str(value) for key, value in tags.items() if value is not None}


def _budget_warning(workspace: Workspace) -> str | None:
    warning: str | None = files.read_json(workspace.restricted.budget, {}).get("warning")
    return warning


def _last_head(workspace: Workspace) -> str | None:
    """The ledger's chain head after the last entry about the release that this home noted."""
    note = files.read_json(Home.find().chain_heads / f"{workspace.root.name}.json", {})
    head: str | None = note.get("head")
    return head


def _artifacts(workspace: Workspace) -> dict[str, Path]:
    """The restricted report and the card, where they are there."""
    report = workspace.restricted.report
    places = {
        f"{REPORT}/index.html": report.page,
        f"{REPORT}/figures.json": report.figures,
        "card.md": workspace.released.release.card_page,
    }
    return {name: path for name, path in places.items() if path.is_file()}


def _description(
    workspace: Workspace,
    settings: Params,
    reservation: Mapping[str, Any],
    run_page: str,
    artifacts: Mapping[str, Path],
) -> str:
    """The description of the run, in Markdown. It quotes nothing that compares with real
    patients.
    """
    release = settings.release
    request = files.read_json(workspace.restricted.run, {})
    origin = f"Asked for by {request.get('asked_by') or 'nobody known'}"
    origin += f", Airflow run `{request['owner']}`." if request.get("owner") else "."
    if release.drawn_from:
        origin += f" Drawn from the model of `{release.drawn_from}`: nothing was charged."
    warning = _budget_warning(workspace)
    return DESCRIPTION.format(
        release=release.id,
        dataset=release.dataset,
        label=release.source_label,
        origin=origin,
        guarantee=_guarantee(reservation, release.drawn_from),
        gate=_gate_words(gate_result(workspace)),
        approval=_approval_words(files.read_json(workspace.restricted.approval, {})),
        report=_link(run_page, f"{REPORT}/index.html", artifacts),
        card=_link(run_page, "card.md", artifacts),
        prefix=REPORT,
        warning=f"\n\n**Low budget:** {warning}." if warning else "",
    )


def _guarantee(reservation: Mapping[str, Any], drawn_from: str | None) -> str:
    if drawn_from:
        return f"that of {drawn_from}"
    if not reservation:
        return "nothing is charged yet"
    return (
        f"epsilon {reservation['epsilon']:.4g} at delta {reservation['delta']:.3g} for one"
        f" patient's whole history; entry {reservation.get('entry')} of the ledger, population"
        f" {reservation.get('population')}"
    )


def _gate_words(gate: Mapping[str, Any]) -> str:
    if not gate:
        return "not there yet"
    if gate["passed"]:
        warnings = gate_warnings(gate)
        lines = "".join(f"<br>- {warning}" for warning in warnings)
        return f"passed, {len(warnings)} warnings{lines}"
    return f"stopped the release: {len(gate['failures'])} rules are broken"


def _approval_words(approval: Mapping[str, Any]) -> str:
    return f"by {approval.get('by')}" if approval.get("approved") else "not there yet"


def _link(run_page: str, name: str, artifacts: Mapping[str, Path]) -> str:
    return f"[{name}]({run_page}/artifacts/{name})" if name in artifacts else "not there yet"
