"""Small releases in a home with a ledger, a released version store and a transparency log, and what
somebody who may change all of it can make of them.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipeline import files, params
from pipeline.catalog import Home, Release, Workspace
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.environment import at_home
from pipeline.ledger import Entry, Ledger
from pipeline.ledger.chain import Chain
from pipeline.ledger.entries import GENESIS
from pipeline.released import log_line, manifest, publish, released_log, verify
from pipeline.released.privacy_facts import privacy_facts
from pipeline.runs import version_stores
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

SCHEMA = read_schema(Path(__file__).parents[2] / "datasets" / "uci_heart.yaml")
LOG_QUESTIONS = (verify.FILES, verify.CHARGE, verify.SUMS, verify.STORE, verify.GROWTH)
SETTINGS = params.load(Path(__file__).parents[2] / "params.yaml")


@dataclass(frozen=True)
class Asked:
    """A release that somebody asks for. is_refused: charged and trained, and never published."""

    release_id: str
    population: str = "people"
    sigma: float = 8.0
    drawn_from: str | None = None
    cohorts: tuple[str, ...] = ()
    is_refused: bool = False


STORY = (
    Asked("first-1", sigma=9.0, cohorts=("old",)),
    Asked("elsewhere-1", population="others", sigma=7.0),
    Asked("refused-1", sigma=10.0, cohorts=("new",), is_refused=True),
    Asked("second-1", cohorts=("new", "old")),
    Asked("draw-1", drawn_from="first-1"),
    Asked("third-1", sigma=11.0),
)


def open_populations(home: Home) -> Ledger:
    home.state.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(home.ledger)
    for name, cohorts in (("people", ("old", "new")), ("others", ())):
        ledger.open_population(
            name,
            universe=f"the {name}",
            nominal_size=1000,
            epsilon=3.0,
            delta=1e-6,
            ceiling_epsilon=6.0,
            kind="confidential",
            reason="a population of the tests, in which every person keeps one id for life",
            by="tests",
            cohorts=cohorts,
        )
    return ledger


def charge(ledger: Ledger, asked: Asked, model: Path | None = None) -> None:
    ledger.reserve(
        asked.release_id,
        asked.population,
        DiscreteGaussianDpEvent(asked.sigma),
        by="tests",
        source_label="week 1",
        cohorts=asked.cohorts,
    )
    ledger.begin_training(asked.release_id, "tests", f"token of {asked.release_id}")
    sha256 = files.folder_sha256(model) if model is not None else "0" * 64
    ledger.note_model(asked.release_id, "tests", sha256)
    if asked.is_refused:
        ledger.abandon(asked.release_id, "refused", "a custodian")


def write_model(folder: Path, asked: Asked) -> Path:
    """The same for a release and for what is drawn from it."""
    files.write_json(folder / "model.json", {"of": asked.drawn_from or asked.release_id})
    return folder


def put_together(home: Home, release: Release, asked: Asked, log: Sequence[Any]) -> None:
    """A release as the log knows one: card, model, manifest."""
    write_model(release.model, asked)
    privacy = privacy_facts(Ledger(home.ledger), asked.drawn_from or asked.release_id, log)
    card = {"release_id": asked.release_id, "drawn_from": asked.drawn_from, "privacy": privacy}
    files.write_json(release.card, card)
    facts = {
        "release_id": asked.release_id,
        "dataset": asked.population,
        "drawn_from": asked.drawn_from,
        **{name: privacy[name] for name in ("charge", "log_entry", "chain_head")},
    }
    manifest.write(release.root, facts)


def settings_of(asked: Asked) -> params.Params:
    """As it was charged."""
    release = dataclasses.replace(
        SETTINGS.release,
        id=asked.release_id,
        dataset=asked.population,
        source_label="week 1",
        drawn_from=asked.drawn_from,
        cohorts=asked.cohorts,
    )
    return dataclasses.replace(SETTINGS, release=release)


def schema_of(asked: Asked) -> Schema:
    """Of the population that was charged."""
    population = dataclasses.replace(SCHEMA.population, name=asked.population)
    return dataclasses.replace(SCHEMA, dataset=asked.population, population=population)


def run_publish(home: Home, asked: Asked, **patches: Callable[..., Any]) -> None:
    """The stage publish, of a release as `put_together` makes one; without DVC and MLflow."""
    workspace = Workspace(home.runs / asked.release_id)
    files.write_json(workspace.restricted.approval, {"approved": True})
    write_model(workspace.released.model, asked)

    def assemble(workspace: Workspace, *_: Any) -> None:
        put_together(home, workspace.released.release, asked, _[-1])

    with (
        at_home(home.root),
        patch.multiple(publish, _assemble=assemble, **patches),
        patch.object(publish.tracking, "publish_model", lambda *_: None),
        patch.object(version_stores, "dvc", lambda *_, cwd: None),
    ):
        publish.run(workspace, settings_of(asked), schema_of(asked))


def release(home: Home, asked: Asked) -> None:
    """Charged, trained and published; or refused; or drawn."""
    if asked.drawn_from is None:
        model = write_model(home.runs / asked.release_id / "released" / "release" / "model", asked)
        charge(Ledger(home.ledger), asked, model)
        shutil.rmtree(model)
    if not asked.is_refused:
        run_publish(home, asked)


def told(home: Home, story: Sequence[Asked] = STORY) -> Home:
    """A home in which all of this happened."""
    open_populations(home)
    for asked in story:
        release(home, asked)
    return home


def faults(folder: Path, older: Path | None = None, store: Path | None = None) -> dict[str, str]:
    """{question about the log: what an outsider's check finds}, where it finds something."""
    questions = verify._log_questions(store, older)
    checks = verify._answers({verify.FILES: verify._files, **questions}, Release(folder))
    return {check.question: check.fault for check in checks if check.fault}


# What somebody does who may change the ledger and the released zone


def entries_of(home: Home) -> list[Entry]:
    return Ledger(home.ledger).entries()


def chained(entries: Sequence[Entry]) -> list[Entry]:
    """Numbered and hashed anew, so that the ledger's own check finds nothing."""
    links: list[Entry] = []
    for number, entry in enumerate(entries, start=1):
        previous = links[-1].hash if links else GENESIS
        link = replace(entry, number=number, previous=previous, hash="")
        links.append(replace(link, hash=link.expected_hash()))
    return links


def forge_ledger(home: Home, entries: Sequence[Entry]) -> None:
    home.state.mkdir(parents=True, exist_ok=True)
    with Chain(home.ledger).writing() as writer:
        for entry in chained(entries):
            writer.put(entry)
    Ledger(home.ledger).verify()


def forge_releases(home: Home, asked: Sequence[Asked]) -> Home:
    """Every release anew, with a log that fits the ledger of this home."""
    version_stores.ensure(home)
    log = released_log.to_follow(home)
    for one in asked:
        folder = home.release(one.release_id)
        put_together(home, folder, one, log)
        facts = manifest.read(folder.root), files.read_json(folder.card)["privacy"]
        line, mechanism = log_line._line(Ledger(home.ledger), log, folder, *facts)
        grown = [*log, line]
        attach(folder, log_line.proof_of(grown, len(log) if len(log) > 1 else 0, mechanism))
        log = grown
    return home


def attach(release: Release, proof: dict[str, Any]) -> None:
    """A forged file of the log, named in the manifest as an honest one is."""
    files.write_json(release.transparency, proof)
    manifest.add_file(release.root, release.transparency)


def rewrite_card(release: Release, change: Callable[[dict[str, Any]], None]) -> None:
    """A changed card, with a manifest that fits it."""
    card = files.read_json(release.card)
    change(card)
    files.write_json(release.card, card)
    manifest.add_file(release.root, release.card)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def changed_entry(entry: Entry, **facts: Any) -> Entry:
    content = {**json.loads(entry.content), **facts}
    fields = asdict(entry) | {"content": json.dumps(content, sort_keys=True, separators=(",", ":"))}
    return Entry(**fields)
