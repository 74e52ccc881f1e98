"""One more patient among more than any branch on sizes has: in ingest, in what the models read, and
in the mechanisms. Code that samples, drops or goes by position above some number of rows is seen.

The quick set makes the sizes smaller that rows are cut by, so that some thousand patients pass all
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

FIRST = 9_000_001  # of the newcomers' ids
THOUSANDS = 1_000  # patients of the quick set
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
    """Ordinary patients, of whom many are alike, with one to three events each."""
    rows, visits, sites = [], [], ("breast", "colon", "lung")
    for patient in range(1, n + 1):
        day = f"2014-{1 + patient % 12:02}-{1 + patient % 27:02}"
        changes = {"site": sites[patient % 3], "stage": str(1 + patient % 3), "joined": day}
        rows.append(people.person(patient, cost=str(patient % 900), **changes))
        visits.append(people.visit(patient, day, "DIAGNOSIS"))
        visits += [people.visit(patient, "2015-02-03", "REGIMEN", code="A")] * (patient % 2)
    return Extract(rows, visits)


def with_newcomers(base: Extract) -> Extract:
    """One of each kind: a third before all others, a third among them, a third behind."""
    places = (0, len(base.people) // 2, len(base.people))
    parts: list[Extract] = [Extract(), Extract(), Extract()]
    for number, newcomer in enumerate(people.odd_patients(FIRST).values()):
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
    after = ingest_extract(schema, with_newcomers(base).write(folder / "with"), folder)
    moved = moved_files(before, after, own=_of_newcomers)
    moved += _moved_forms(schema, before, after)
    kept = pl.read_parquet(before.patients).height
    kept += pl.read_parquet(before.holdout_patients).height
    lost = kept != n
    return Finding(
        holds=not moved and not lost,
        figures={"patients": n, "kept": kept, "moved": len(moved)},
        message=(
            f"{len(people.odd_patients(FIRST))} newcomers among {n:,} patients, of whom {kept:,}"
            f" were kept, move {', '.join(moved[:4]) or 'nobody else'}"
        ),
    )


def _of_newcomers(_name: str, rows: pl.DataFrame) -> pl.Expr:
    column = next(column for column in (ID, "id", *OWNING) if column in rows.columns)
    return (pl.col(column).cast(pl.Int64, strict=False) >= FIRST).fill_null(False)


def _moved_forms(schema: Schema, before: Restricted, after: Restricted) -> list[str]:
    """Which of the models' arrays change for anybody but the newcomers."""
    forms = []
    for data in (before, after):
        # the newcomers first: a model that goes by position is noticed
        patients = pl.read_parquet(data.patients).sort(
            pl.col(ID).cast(pl.Int64) < FIRST, maintain_order=True
        )
        events = pl.read_parquet(data.events)
        forms.append((patients[ID].cast(pl.Int64).to_numpy() >= FIRST, patients, events))
    old, new = (_forms(schema, patients, events) for _, patients, events in forms)
    is_new = forms[1][0]
    moved = []
    for name, values in new.items():
        own = np.repeat(is_new, new["lengths"]) if len(values) != len(is_new) else is_new
        if len(own) != len(values) or not np.array_equal(values[~own], old[name]):
            moved.append(name)
    return moved


def _forms(schema: Schema, patients: pl.DataFrame, events: pl.DataFrame) -> dict[str, Array]:
    plan = make_plan(schema, SMALL)
    assert plan.pathway is not None
    log = encoded_log.encode_log(new_model(schema, plan.pathway).coding, patients, events)
    names = ("features", "token", "day", "gap", "attributes", "weight", "lengths")
    return {
        **{
            f"cells of {name}": of
            for name, of in encode_rows(patients, plan.table.domains()).items()
        },
        **{name: getattr(log, name) for name in names},
    }


def _thousands(folder: Path) -> Finding:
    with smaller():
        return one_more(THOUSANDS, folder)


def _under_small_sizes(name: str, folder: Path) -> Finding:
    checks = {check.name: check for check in (*stability.CHECKS, *stability_registry.CHECKS)}
    with smaller(block_bytes=30_000, bucket=15):
        return checks[name].run(folder)


CHECKS: tuple[Check, ...] = (
    Check(
        name="one more among thousands",
        family="stability",
        run=_thousands,
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
