"""Where a release comes from: release, model, charge, source, run, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Connection

from pipeline import files
from pipeline.catalog import Home
from pipeline.ledger import Entry, Ledger, Standing
from pipeline.released.manifest import sha256
from pipeline.services.airflow_server import airflow_address
from pipeline.services.tracking.stage_notes import Note, read_notes
from portal.custodian.tables import dispatches
from portal.shared.tables import requests

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Step:
    """One thing that the release goes back to."""

    title: str
    about: str
    facts: Facts
    links: list[tuple[str, str]] = field(default_factory=list)  # words, address
    fault: str = ""  # what does not fit


@dataclass(frozen=True)
class Line:
    """A release in the list."""

    release_id: str
    population: str
    kind: str  # "charged", or "draw": from a published model, free
    state: str
    epsilon: float
    at: str


def every(home: Home, standings: Sequence[Standing]) -> list[Line]:
    """Charged releases, newest first, each after the draws from its model."""
    draws: dict[str, list[Line]] = {}
    for path in sorted(home.published.glob("[!.]*")):
        card = files.read_json(home.release(path.name).card)
        if card is not None and card["drawn_from"]:
            privacy = card["privacy"]
            line = Line(
                path.name, privacy["population"], "draw", "released", privacy["epsilon"], ""
            )
            draws.setdefault(card["drawn_from"], []).append(line)
    charges = [(one.population.name, charge) for one in standings for charge in one.charges]
    charges.reverse()  # of one second too, the last charge stands first
    charges.sort(key=lambda pair: pair[1].after.at, reverse=True)
    lines: list[Line] = []
    for population, charge in charges:
        lines += draws.pop(charge.release_id, [])
        lines.append(
            Line(
                charge.release_id,
                population,
                "charged",
                charge.state,
                charge.epsilon,
                charge.after.at.isoformat(timespec="minutes"),
            )
        )
    return lines + [line for rest in draws.values() for line in rest]


def steps(home: Home, own: Connection, public: Connection, release_id: str) -> list[Step]:
    """From the release to what it was asked for; empty where neither the ledger nor the released
    zone knows it. `own`: of the custodian's database, which knows who asked; `public`: of the
    public one, which alone holds the purpose.
    """
    card = files.read_json(home.release(release_id).card)
    model_of = (card or {}).get("drawn_from") or release_id
    entries = [one for one in Ledger(home.ledger).entries() if one.release_id == model_of]
    if card is None and not entries:
        return []
    chain = [_release(home, release_id, card, entries if model_of == release_id else [])]
    if model_of != release_id:
        chain.append(
            Step(
                "Drawn from",
                "A draw from a published model costs no privacy.",
                [("Release", model_of)],
                [("Its lineage", f"/audit/releases/{model_of}")],
            )
        )
    chain += [
        *_model(entries),
        *_charge(home, entries),
        *_run(home, release_id),
        *_request(own, public, release_id),
    ]
    return chain


def _release(
    home: Home, release_id: str, card: Mapping[str, Any] | None, entries: Sequence[Entry]
) -> Step:
    state = next((one for one in reversed(entries) if one.kind in ("released", "abandoned")), None)
    if card is None:
        facts = [("State", state.kind if state else "not published")]
        return Step("Release", "Nothing of it is in the released zone.", facts)
    manifest = home.release(release_id).manifest
    checksum, fault = sha256(manifest), ""
    if state is not None and state.facts.get("manifest") not in (None, checksum):
        fault = "the manifest is not the one that the ledger noted when the release left"
    facts = [
        ("Dataset", str(card["dataset"])),
        ("Synthetic patients", f"{card['synthetic_patients']:,}"),
        ("Approved by", str(card["approval"].get("by") or "a custodian")),
        ("Left the restricted zone", state.at if state else "a draw, or not noted here"),
        ("Manifest, SHA-256", checksum),
        ("Code", str(card["code_version"])),
    ]
    about = "What researchers get: files, card and manifest in the released zone."
    return Step("Release", about, facts, fault=fault)


def _model(entries: Sequence[Entry]) -> list[Step]:
    trained = next((one for one in entries if one.kind == "trained"), None)
    if trained is None:
        return []
    facts = [("SHA-256", str(trained.facts["model"])), ("Trained", trained.at)]
    return [Step("Model", "The one model that the charge pays for.", facts)]


def _charge(home: Home, entries: Sequence[Entry]) -> list[Step]:
    if not entries:
        return []
    ledger = Ledger(home.ledger)
    charge = ledger.reservation(str(entries[0].release_id))
    if charge is None:
        return []
    population = ledger.population(charge.population)
    return [
        Step(
            "Charge",
            "Entered in the ledger before a mechanism read a row.",
            [
                ("Entry", f"{charge.entry}, by {charge.by}, {charge.at}"),
                ("Epsilon, alone", f"{charge.epsilon:.4f} at delta {charge.delta:g}"),
                ("Of the budget", f"{charge.rdp / population.limit_rdp:.2%}"),
                ("Plan, SHA-256", charge.plan_sha256 or "not noted"),
                ("Hash of the entry", charge.entry_hash),
            ],
            [("Entries", f"/audit/ledger?release={charge.release_id}")],
        ),
        Step(
            "Source",
            "The label that a custodian gave to the state of the source; never computed from rows.",
            [
                ("Label", charge.source_label),
                ("Population", f"{population.name}, {population.kind}: {population.universe}"),
                ("Cohorts", ", ".join(charge.cohorts) or "everybody"),
            ],
        ),
    ]


def _run(home: Home, release_id: str) -> list[Step]:
    workspace = home.workspace(release_id)
    notes = read_notes(workspace)
    if not notes:
        return []
    person = (files.read_json(workspace.restricted.run) or {}).get("asked_by")
    runs = sorted({note.airflow_run for note in notes if note.airflow_run})
    links = [(f"Airflow: {run}", _airflow_page(run)) for run in runs]
    if workspace.tracking.is_file():
        links.append(("MLflow", f"/audit/releases/{release_id}/mlflow"))
    facts = [("Asked for by", str(person or "not noted")), *(_stage(note) for note in notes)]
    return [Step("Run", "The stages, in the order in which they ended.", facts, links)]


def _airflow_page(run: str) -> str:
    """Airflow's list of runs with this one: whichever DAG it is of."""
    return f"{airflow_address()}/dag_runs?run_id_pattern={quote(run, safe='')}"


def _stage(note: Note) -> tuple[str, str]:
    end = datetime.fromtimestamp(note.end_ms / 1000, UTC)
    return note.stage, f"{note.status.lower()} {end:%Y-%m-%d %H:%M} UTC, {note.seconds:,.0f} s"


def _request(own: Connection, public: Connection, release_id: str) -> list[Step]:
    """As it was approved: whoever has hold of the public process writes what they like there."""
    one = own.execute(sa.select(dispatches).where(dispatches.c.release_id == release_id)).first()
    if one is None:
        return []
    purpose = public.scalar(sa.select(requests.c.purpose).where(requests.c.id == one.id))
    at = datetime.fromtimestamp(one.approved_at, UTC)
    facts = [
        ("By", str(one.email)),
        ("Approved by", f"{one.approved_by}, {at:%Y-%m-%d %H:%M} UTC"),
        ("Purpose, as the public database has it", str(purpose or "not there any more")),
    ]
    return [
        Step("Request", "What a researcher asked for.", facts, [("Request", f"/requests/{one.id}")])
    ]
