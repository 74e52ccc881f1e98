"""The charges of a population: the releases that the ledger holds for it."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import files, params
from pipeline.runs import version_stores, source_claims, sources
from pipeline.schema import document as declaration
from pipeline.schema.reader import read_schema
from pipeline.catalog import Home, Workspace, project_root
from pipeline.ledger.chain import Chain, Entry, check_chain, state_in
from pipeline.stages import A_PERSON, AS_DECLARED, STAGES, repro_command
from pipeline.refusal import Refusal


def charged_releases(home: Home, population: str) -> set[str]:
    """Release ids with an entry for this population; empty where there is no ledger yet."""
    return {entry.release_id for entry in _ledger_entries(home, population) if entry.release_id}


@dataclass(frozen=True, kw_only=True)
class Charged:
    """The last charge of a population, and what became of it."""

    release_id: str
    label: str  # public label of the source
    state: str  # reserved, released or abandoned


def last_charged(home: Home, population: str, cohorts: Sequence[str] = ()) -> Charged | None:
    """The population's last release that was charged to just these cohorts (none: to everybody),
    published or not; None where there is none.
    """
    entries = _ledger_entries(home, population)
    charged = [
        entry
        for entry in entries
        if entry.kind == "reserved" and set(entry.facts.get("cohorts", ())) == set(cohorts)
    ]
    if not charged:
        return None
    release_id = str(charged[-1].release_id)
    return Charged(
        release_id=release_id,
        label=str(charged[-1].facts["source_label"]),
        state=str(state_in(entries, release_id)),
    )


def _ledger_entries(home: Home, population: str) -> list[Entry]:
    entries = Chain(home.ledger).entries()
    check_chain(entries)
    return [entry for entry in entries if entry.population == population]
