"""Checks a published release again: its files, its tag, its charge in the ledger and in the
transparency log, and that its model gives its extract. An outsider asks the same of a folder, but
for the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from pipeline import files
from pipeline.adapters import partition_tables
from pipeline.adapters.extract import read_table
from pipeline.catalog import Home, Release
from pipeline.draw_plan import plan_of
from pipeline.ledger import Ledger
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.params import check_release_id
from pipeline.refusal import Refusal
from pipeline.released import manifest, outside, released_log
from pipeline.released.writers import headers
from pipeline.runs import released_trees, version_stores
from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema
from pipeline.transparency.checking import growth_fault
from pipeline.transparency.making import disagreement

FILES = "every file has the checksum in the manifest"
TAG = "the tag in the released version store names this manifest"
COLUMNS = "the tables have the declared columns"
REDRAW = "the released model and its seed give the first patients of this extract again"
CHARGE = "the release's charge is in the transparency log that it brings"
SUMS = "the card says what the log's charges add up to, and how sure anybody can be about a patient"
STORE = "the released version store has a log that only grew, and no release without an entry"
GROWTH = "the log is the older copy with entries added"
Question = Callable[[Release], Iterator[str]]  # gives the faults


class Note(str):
    """What a question says that is no fault."""

    __slots__ = ()


@dataclass(frozen=True)
class Check:
    """One question asked of a release. `fault` is empty where the answer is yes; `note`: what else
    there is to say.
    """

    question: str
    fault: str
    note: str = ""

    @property
    def passed(self) -> bool:
        return not self.fault


def verify(home: Home, release_id: str, older: Path | None = None) -> list[Check]:
    """All checks, in order; none hides another. `older`: an older copy of the transparency log.
    Raises Refusal where there is no such release.
    """
    release = home.release(check_release_id(release_id))
    if not release.root.is_dir() and not released_trees.copy_here(home, release_id):
        raise Refusal(
            f"{release_id} is not published here: there is no {release.root.name} among the"
            " extracts; see `python -m pipeline status`"
        )
    questions: dict[str, Question] = {
        FILES: _files,
        TAG: partial(_tag, home.released_store, release_id),
        "the ledger's chain holds, and the card says what the ledger says": partial(
            _ledger, home, release_id
        ),
        COLUMNS: _columns,
        REDRAW: _redraw,
        **_log_questions(home.released_store, older),
    }
    return _answers(questions, release)


def verify_folder(
    folder: Path, older: Path | None = None, store: Path | None = None
) -> list[Check]:
    """What an outsider can ask of a release's folder, without a ledger or a home. `store`: a clone
    of the released version store, or that itself.

    Raises Refusal for a folder that holds no release.
    """
    name = str(manifest.read(folder)["release_id"])
    tag: dict[str, Question] = {} if store is None else {TAG: partial(_tag, store, name)}
    questions: dict[str, Question] = {
        FILES: _files,
        **tag,
        COLUMNS: _columns,
        REDRAW: _redraw,
        **_log_questions(store, older),
    }
    return _answers(questions, Release(folder))


def _log_questions(store: Path | None, older: Path | None) -> dict[str, Question]:
    questions: dict[str, Question] = {
        CHARGE: partial(_charge, store),
        SUMS: partial(_sums, store),
    }
    if store is not None:
        questions[STORE] = partial(_store, store)
    if older is not None:
        questions[GROWTH] = partial(_growth, outside.older_copy(older))
    return questions


def _answers(questions: dict[str, Question], release: Release) -> list[Check]:
    checks = []
    for question, ask in questions.items():
        texts = _sentences(ask, release)
        notes = [text for text in texts if isinstance(text, Note)]
        faults = [text for text in texts if not isinstance(text, Note)]
        checks.append(Check(question, "; ".join(faults), "; ".join(notes)))
    return checks


def _sentences(ask: Question, release: Release) -> list[str]:
    try:
        return list(ask(release))
    except KeyError as error:
        return [f"a file lacks {error}: an older version of the code made it, or it was altered"]
    except DeclarationError as error:
        return [
            "another version of the code made the release, whose declaration this one cannot read:"
            " verify it with that version (`code_version` on its card)."
            f" {str(error).splitlines()[0]}"
        ]
    except (ValueError, RuntimeError, OSError, TypeError, LookupError) as error:
        return [str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"]


def _files(release: Release) -> Iterator[str]:
    yield from manifest.differences(release.root)


def _tag(store: Path, release_id: str, release: Release) -> Iterator[str]:
    if not version_stores.is_tagged(store, release_id):
        yield "there is no such tag in the released version store"
        return
    message = version_stores.git("tag", "--list", "--format=%(contents)", release_id, cwd=store)
    if manifest.sha256(release.manifest) not in message:
        yield "the tag names another manifest"


def _ledger(home: Home, release_id: str, release: Release) -> Iterator[str]:
    card, ledger = files.read_json(release.card), Ledger(home.ledger)
    privacy = card["privacy"]
    ledger.verify({"this card": privacy["chain_head"]})
    charged = card["drawn_from"] or release_id
    reservation = ledger.reservation(charged)
    if reservation is None:
        yield f"{charged} was never charged"
        return
    if ledger.state(charged) != "released":
        yield f"{charged} is {ledger.state(charged)} in the ledger"
    charges = [one.release_id for one in ledger.reservations(reservation.population)]
    of_ledger = {
        "epsilon": reservation.epsilon,
        "delta": reservation.delta,
        "charge": 1 + charges.index(charged),
        "ledger_entry": reservation.entry,  # on cards of before the transparency log
    }
    if differing := [
        name for name, value in of_ledger.items() if privacy.get(name, value) != value
    ]:
        yield f"the card and the ledger differ in {', '.join(differing)}"
    log = released_log.read(home.released_store)
    if log and (differing_log := disagreement(ledger, log)):
        yield differing_log


def _charge(store: Path | None, release: Release) -> Iterator[str]:
    if older := _before_the_log(store, release):
        yield older
    else:
        yield from outside.charge_faults(release)


def _sums(store: Path | None, release: Release) -> Iterator[str]:
    if older := _before_the_log(store, release):
        yield older
        return
    yield from outside.sum_faults(release)
    log = outside.proof_of_release(release)["log"]
    if outside.counts_older(log, files.read_json(release.card)["privacy"]["membership"]):
        yield Note("the card counts charges from before the log, which nothing shows here")


def _before_the_log(store: Path | None, release: Release) -> Note | None:
    """What is said of a release from before there was a log. None where it should have an entry:
    its card names one since there is a log.
    """
    if release.transparency.exists() or store is None:
        return None
    if "log_entry" in files.read_json(release.card)["privacy"]:
        return None
    log = released_log.read(store)
    if not log:
        return Note("it was published before there was a log, which begins with the next release")
    older = {one["release_id"]: one["manifest"] for one in log[0]["older"]}
    name = str(manifest.read(release.root)["release_id"])
    if older.get(name) != manifest.sha256(release.manifest):
        return None
    return Note("it was published before there was a log, whose first entry names it")


def _store(store: Path, release: Release) -> Iterator[str]:
    yield from released_log.store_faults(store)
    if release.transparency.exists():
        copy = outside.proof_of_release(release)["log"]
        if fault := growth_fault(released_log.read(store), copy):
            yield fault


def _growth(copy: outside.Copy, release: Release) -> Iterator[str]:
    yield from outside.growth_faults(outside.proof_of_release(release)["log"], copy)


def _columns(release: Release) -> Iterator[str]:
    schema = read_schema(release.dataset)
    for table in schema.tables.values():
        path = release.extract.parquet / f"{table.file}.parquet"
        if not path.exists():
            if table.required:
                yield f"{table.file}: missing"
        elif list(pl.read_parquet_schema(path)) != [headers(table)[name] for name in table.columns]:
            yield f"{table.file}: columns are not those declared, in order"


def _redraw(release: Release) -> Iterator[str]:
    """The first partition, drawn again from the released model with the manifest's seed, is what
    the extract begins with.
    """
    schema, card = read_schema(release.dataset), files.read_json(release.card)
    partition_rows = int(manifest.read(release.root)["partition_rows"])
    last_day = date.fromisoformat(card["extract_date"]) if card["extract_date"] else None
    partitions = Synthesizer.load(release.model).sample(
        card["synthetic_patients"],
        seed=manifest.read(release.root)["seed"],
        partition_rows=partition_rows,
        plan=plan_of(manifest.read(release.root).get("plan")),
    )
    tables = next(partition_tables(schema, partitions, last_day))[1]
    for name, rows in tables.items():
        table = schema.tables[name]
        path = release.extract.parquet / f"{table.file}.parquet"
        published = read_table(table, path, n_rows=len(rows))
        again = rows.select(column for column in table.columns if column in rows.columns)
        if not again.equals(published):
            yield f"{table.file}: the model and the seed give other rows"
