"""Small published releases, charged in a real ledger, with real cards and manifests."""

from __future__ import annotations

from pathlib import Path

from pipeline.catalog import Home, Release
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.estimates.values import Threshold
from pipeline.files import write_json, write_text
from pipeline.ledger import Ledger
from pipeline.released import card, manifest
from pipeline.released.card_limits import ModelFacts
from pipeline.released.evidence_facts import EvidenceFacts
from pipeline.released.privacy_facts import NO_LOG, privacy_facts
from pipeline.schema.reader import read_schema

SCHEMA = read_schema(Path(__file__).parents[2] / "datasets" / "uci_heart.yaml")
NAME = SCHEMA.population.name
EVIDENCE = EvidenceFacts(
    thresholds={
        "single columns": [
            Threshold(table=("age",), clear=40, close=400),
            Threshold(table=("sex",), clear=60, close=900),
        ]
    },
    cells={"reliable": 3, "indicative": 4, "noise": 13},
    curves={"reliable": 0, "indicative": 0, "noise": 0},
    distances=[],
)


def charge(home: Home, release_id: str) -> Ledger:
    """A charge, in a ledger that is opened where there is none."""
    home.state.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(home.ledger)
    if not ledger.is_open(NAME):
        ledger.open_population(
            NAME,
            universe="nobody",
            nominal_size=1000,
            epsilon=3.0,
            delta=1e-6,
            ceiling_epsilon=3.0,
            kind="simulated",
            reason="tests",
            by="tests",
        )
    ledger.reserve(
        release_id, NAME, DiscreteGaussianDpEvent(6.0), by="tests", source_label="week 1"
    )
    return ledger


def publish(home: Home, release_id: str, drawn_from: str | None = None) -> Release:
    """A release with a table in every form; a draw from another one's model is not charged."""
    ledger = Ledger(home.ledger) if drawn_from else charge(home, release_id)
    log = [*NO_LOG, *({} for _ in home.published.glob("*"))]  # a line for each release before it
    release = home.release(release_id)
    for path, text in {
        "extract/csv/heart.csv": "age,sex\n" + "50,1\n" * 5000,
        "extract/parquet/heart.parquet": "columns",
        "extract/extract.duckdb": "0123456789",
        "extract/extract.sqlite": "rows",
        "card.md": "# A card",
        "README.txt": "what is where",
    }.items():
        (release.root / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(release.root / path, text)
    facts = card.facts(
        SCHEMA,
        release_id=release_id,
        source_label="week 1",
        rows=5000,
        extract_date=None,
        code_version="0",
        privacy=privacy_facts(ledger, drawn_from or release_id, log),
        approval={"self_approved": True, "by": "the run itself"},
        drawn_from=drawn_from,
        model=ModelFacts(evidence=EVIDENCE, warnings=("Something odd <b>",)),
    )
    write_json(release.card, facts)
    manifest.write(release.root, {"release_id": release_id})
    if drawn_from is None:
        ledger.commit(release_id, facts={"manifest": manifest.sha256(release.manifest)})
    return release
