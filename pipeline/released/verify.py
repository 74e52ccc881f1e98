"""Checks a published release again: its files, its tag, its entry in the ledger, and that its model
gives its extract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

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
from pipeline.released import manifest
from pipeline.released.writers import headers
from pipeline.runs import released_trees, version_stores
from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema

Question = Callable[[Home, Release, str], Iterator[str]]  # gives the faults


@dataclass(frozen=True)
class Check:
    """One question asked of a release. `fault` is empty where the answer is yes."""

    question: str
    fault: str

    @property
    def passed(self) -> bool:
        return not self.fault


def verify(home: Home, release_id: str) -> list[Check]:
    """All checks, in order; none hides another. Raises Refusal where there is no such
    release.
    """
    release = home.release(check_release_id(release_id))
    if not release.root.is_dir() and not released_trees.copy_here(home, release_id):
        raise Refusal(
            f"{release_id} is not published here: there is no {release.root.name} among the"
            " extracts; see `python -m pipeline status`"
        )
    return [
        Check(question, _fault(ask, home, release, release_id))
        for question, ask in QUESTIONS.items()
    ]


def _fault(ask: Question, home: Home, release: Release, release_id: str) -> str:
    try:
        return "; ".join(ask(home, release, release_id))
    except KeyError as error:
        return f"the card or manifest lacks {error}: an older version of the code made the release"
    except DeclarationError as error:
        return (
            "another version of the code made the release, whose declaration this one cannot read:"
            " verify it with that version (`code_version` on its card)."
            f" {str(error).splitlines()[0]}"
        )
    except (ValueError, RuntimeError, OSError) as error:
        return f"{type(error).__name__}: {error}"


def _files(_: Home, release: Release, __: str) -> Iterator[str]:
    yield from manifest.differences(release.root)


def _tag(home: Home, release: Release, release_id: str) -> Iterator[str]:
    if not version_stores.is_tagged(home.released_store, release_id):
        yield "there is no such tag in the released version store"
        return
    message = version_stores.git(
        "tag", "--list", "--format=%(contents)", release_id, cwd=home.released_store
    )
    if manifest.sha256(release.manifest) not in message:
        yield "the tag names another manifest"


def _ledger(home: Home, release: Release, release_id: str) -> Iterator[str]:
    card, ledger = files.read_json(release.card), Ledger(home.ledger)
    ledger.verify({"this card": card["privacy"]["chain_head"]})
    charged = card["drawn_from"] or release_id
    reservation = ledger.reservation(charged)
    if reservation is None:
        yield f"{charged} was never charged"
        return
    if ledger.state(charged) != "released":
        yield f"{charged} is {ledger.state(charged)} in the ledger"
    if (reservation.epsilon, reservation.delta, reservation.entry) != tuple(
        card["privacy"][name] for name in ("epsilon", "delta", "ledger_entry")
    ):
        yield "the card and the ledger differ in epsilon, delta or entry"


def _columns(_: Home, release: Release, __: str) -> Iterator[str]:
    schema = read_schema(release.dataset)
    for table in schema.tables.values():
        path = release.extract.parquet / f"{table.file}.parquet"
        if not path.exists():
            if table.required:
                yield f"{table.file}: missing"
        elif list(pl.read_parquet_schema(path)) != [headers(table)[name] for name in table.columns]:
            yield f"{table.file}: columns are not those declared, in order"


def _redraw(_: Home, release: Release, __: str) -> Iterator[str]:
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


QUESTIONS: dict[str, Question] = {
    "every file has the checksum in the manifest": _files,
    "the tag in the released version store names this manifest": _tag,
    "the ledger's chain holds, and the card says what the ledger says": _ledger,
    "the tables have the declared columns": _columns,
    "the released model and its seed give the first patients of this extract again": _redraw,
}
