"""One more patient among more than any branch on sizes has: in ingest, in what the models read, and
in the mechanisms. Code that samples, drops or goes by position above some number of rows is seen.

The quick set makes the sizes smaller that rows are cut by, so that some hundred patients pass all
of them many times; the long set leaves them as they are and has more patients than the largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl

from audit import people, stability, stability_registry
from audit.findings import Check, Finding
from audit.neighbours import SMALL, make_plan
from audit.people import Extract
from audit.reviewed_sizes import LARGEST
from audit.stability import OWNING, ingest_extract, moved_files
from pipeline.catalog import Restricted
from pipeline.models.pathway.draw.model import new_model
from pipeline.models.pathway.fit import encoded_log
from pipeline.models.table.fit import critic
from pipeline.models.table.measure.columns import encode_rows
from pipeline.restricted.ingest import arrow_source, csv_lines, owners, quoted_rows, sheet_source
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

Array = np.ndarray[Any, Any]

HOLE = 100  # ids in the middle that are left to the newcomers
HUNDREDS = 700  # patients of the quick set
MANY = LARGEST + 10_000
ALARM = 1e-7  # chance that a check of sound code fails
FEWER = {owners: ("BUCKET_PATIENTS", 200), encoded_log: ("CHUNK", 300), critic: ("_MICRO_BATCH", 7)}
ONE_BY_ONE = {arrow_source: ("BATCH_ROWS", 9), sheet_source: ("BATCH_ROWS", 9)}


@contextmanager
def smaller(block_bytes: int = 20_000, bucket: int = 200) -> Iterator[None]:
    """Sizes that rows are cut by, so small that an audit passes all of them."""
    with ExitStack() as patches:
        for module, (name, size) in {**FEWER, **ONE_BY_ONE}.items():
            patches.enter_context(patch.object(module, name, size))
        patches.enter_context(patch.object(owners, "BUCKET_PATIENTS", bucket))
        for read in (csv_lines.blocks, quoted_rows.parsed_blocks):
            patches.enter_context(patch.object(read, "__defaults__", (block_bytes,)))
        yield


def many(n: int) -> Extract:
    """Ordinary patients, of whom many are alike, with one to three events each; some cells are
    missing.
    """
    rows, visits, sites = [], [], ("breast", "colon", "lung")
    for patient in [*range(1, n // 2 + 1), *range(n // 2 + HOLE, n + HOLE)]:
        day = f"2014-{1 + patient % 12:02}-{1 + patient % 27:02}"
        changes = {"site": sites[patient % 3], "stage": str(patient % 4 or ""), "joined": day}
        rows.append(people.person(patient, cost=str(patient % 900), **changes))
        visits.append(people.visit(patient, day, "DIAGNOSIS"))
        visits += [people.visit(patient, "2015-02-03", "REGIMEN", code="A")] * (patient % 2)
    return Extract(rows, visits)


def with_newcomers(base: Extract, first: int) -> Extract:
    """One of each kind: a third before all others, a third among them, a third behind."""
    places = (0, len(base.people) // 2, len(base.people))
    parts: list[Extract] = [Extract(), Extract(), Extract()]
    for number, newcomer in enumerate(people.odd_patients(first).values()):
        parts[number % 3] += newcomer
    rows = [
        *parts[0].people,
        *base.people[: places[1]],
        *parts[1].people,
        *base.people[places[1] :],
        *parts[2].people,
    ]
    return Extract(
        rows, [*parts[2].visits, *reversed(base.visits), *parts[0].visits, *parts[1].visits]
    )


def one_more(n: int, folder: Path) -> Finding:
    """The real ingest and the models' own forms of rows, without the newcomers and with them."""
    schema, base = people.schema_in(folder / "declared"), many(n)
    before = ingest_extract(schema, base.write(folder / "base"), folder)
    after = ingest_extract(schema, with_newcomers(base, n // 2 + 1).write(folder / "with"), folder)
    moved = moved_files(before, after, own=partial(_of_newcomers, n // 2 + 1))
    moved += _moved_forms(schema, before, after, n // 2 + 1)
    n_patients = pl.read_parquet(before.patients).height
    n_patients += pl.read_parquet(before.holdout_patients).height
    lost = n_patients != n
    return Finding(
        holds=not moved and not lost,
        figures={"patients": n, "kept": n_patients, "moved": len(moved)},
        message=(
            f"{len(people.odd_patients(1))} newcomers among {n:,} patients, of whom"
            f" {n_patients:,} were kept, move {', '.join(moved[:4]) or 'nobody else'}"
        ),
    )


def _of_newcomers(first: int, _name: str, rows: pl.DataFrame) -> pl.Expr:
    column = next(column for column in (ID, "id", *OWNING) if column in rows.columns)
    numbers = pl.col(column).cast(pl.Int64, strict=False)
    return numbers.is_between(first, first + HOLE - 2).fill_null(False)


def _moved_forms(schema: Schema, before: Restricted, after: Restricted, first: int) -> list[str]:
    """Which of the models' arrays change for anybody but the newcomers; of all patients together,
    those held out too.
    """
    old, _ = _forms(schema, before, first)
    new, is_new = _forms(schema, after, first)
    moved = []
    for name, values in new.items():
        own = np.repeat(is_new, new["lengths"]) if len(values) != len(is_new) else is_new
        if len(own) != len(values) or not np.array_equal(values[~own], old[name]):
            moved.append(name)
    return moved


def _between(patients: pl.DataFrame, is_new: Array) -> Array:
    """An order with the newcomers anywhere among the others, whose order stays: a model that goes
    by position, or by who stands before, is noticed.
    """
    places = np.arange(len(is_new), dtype=float)
    places[is_new] = np.random.default_rng(6).uniform(-1, len(is_new), int(is_new.sum()))
    return np.argsort(places)


def _forms(schema: Schema, data: Restricted, first: int) -> tuple[dict[str, Array], Array]:
    """The models' arrays, and which patients are newcomers."""
    plan = make_plan(schema, SMALL)
    assert plan.pathway is not None
    patients, events = (
        pl.concat(map(pl.read_parquet, paths)).sort(by)
        for paths, by in (
            ((data.patients, data.holdout_patients), [ID]),
            ((data.events, data.holdout_events), [ID, "seq"]),
        )
    )
    is_new = patients.select(_of_newcomers(first, "", patients)).to_series().to_numpy()
    order = _between(patients, is_new)
    patients, is_new = patients[order], is_new[order]
    log = encoded_log.encode_log(new_model(schema, plan.pathway).coding, patients, events)
    names = ("features", "token", "day", "gap", "attributes", "weight", "lengths")
    arrays = {
        **{
            f"cells of {name}": of
            for name, of in encode_rows(patients, plan.table.domains()).items()
        },
        **{name: getattr(log, name) for name in names},
    }
    return arrays, is_new


def _hundreds(folder: Path) -> Finding:
    with smaller():
        return one_more(HUNDREDS, folder)


def _under_small_sizes(name: str, folder: Path) -> Finding:
    checks = {check.name: check for check in (*stability.CHECKS, *stability_registry.CHECKS)}
    with smaller(block_bytes=30_000, bucket=15):
        return checks[name].run(folder)


CHECKS: tuple[Check, ...] = (
    Check(
        name="one more among hundreds",
        family="stability",
        run=_hundreds,
        asks=(
            "newcomers change only their own rows in ingest and in the models' forms of rows, past"
            " every size that rows are cut by, made smaller"
        ),
    ),
    Check(
        name="one more among more than any size",
        family="stability",
        run=partial(one_more, MANY),
        long=True,
        asks="the same for more patients than any size in the code, as it is",
    ),
    *(
        Check(
            name=f"{name}, in small parts",
            family="stability",
            run=partial(_under_small_sizes, name),
            long=True,
            asks="the same where a source comes in parts of some rows and buckets of few people",
        )
        for name in (
            "one more in a sample population",
            "one more in a table without ids",
            "one more in a registry",
        )
    ),
)
