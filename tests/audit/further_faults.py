"""Planted faults for the audits that see further: what looks at others while it makes one patient's
rows, what depends on the borders of blocks and buckets, and rows opened under another's charge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from run_faults import Fault, edited

from pipeline.models.pathway.fit import encoded_log
from pipeline.released import charged_draw, publish, sample
from pipeline.restricted import train
from pipeline.restricted.ingest import (
    arrow_source,
    batches,
    caps,
    csv_lines,
    json_source,
    origin,
    owners,
    quoted_rows,
    stage,
)
from pipeline.restricted.ingest.blocks import Block
from pipeline.restricted.ingest.owners import ROW
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Table

ONE_TABLE, EVENTS, LONG_TABLE, WIDE, ROWS = (
    f"alone as among all: {layout}, csv"
    for layout in (
        "one table",
        "tables of events",
        "a long table",
        "wide times",
        "people are rows",
    )
)
REGISTRY = "alone as among all: a registry"
CSV, BREAKS, JSON, PARQUET, TRAINING = (
    f"borders: {form}"
    for form in (
        "csv",
        "csv with line breaks",
        "json lines",
        "parquet",
        "the log that training reads",
    )
)
OPENINGS, EVERY_WALK, RESUMED = (
    f"what is opened is charged{which}" for which in ("", ", on every walk", ", after a resume")
)
REPAIRED = "    tables = patient_repairs.apply(schema, tables, account.repaired)\n"
Tables = Mapping[str, pl.DataFrame]


def _cleaned(patch: pytest.MonkeyPatch, *, by: pl.Expr) -> None:
    """Cleaning by an expression over the rows of everybody."""

    def clean(tables: Tables) -> dict[str, pl.DataFrame]:
        beside = {}
        for name, rows in tables.items():
            own = rows.select(ID, ROW)
            changed = rows.drop(ID, ROW).with_columns(by)
            beside[name] = pl.concat([own, changed.cast(dict(rows.drop(ID, ROW).schema))],
                                     how="horizontal").select(rows.columns)  # fmt: skip
        return beside

    edited(
        patch, batches, "_prepare", (REPAIRED, f"{REPAIRED}    tables = clean(tables)\n"),
        clean=clean,
    )  # fmt: skip


def medians(patch: pytest.MonkeyPatch) -> None:
    numbers = pl.col(pl.Float64, pl.Int64)
    _cleaned(patch, by=numbers.fill_null(numbers.median()))


def winsorised(patch: pytest.MonkeyPatch) -> None:
    numbers = pl.col(pl.Float64, pl.Int64)
    _cleaned(patch, by=numbers.clip(numbers.quantile(0.2), numbers.quantile(0.8)))


def rare_values(patch: pytest.MonkeyPatch) -> None:
    text = pl.col(pl.String)
    _cleaned(patch, by=pl.when(pl.len().over(text) > 1).then(text))


def shifted_dates(patch: pytest.MonkeyPatch) -> None:
    dates = pl.col(pl.Date)
    _cleaned(patch, by=dates - (dates.min() - pl.date(2012, 1, 1)))


def most_common(patch: pytest.MonkeyPatch) -> None:
    """Of too many rows those stay that most patients have."""

    def by_count(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
        others = [name for name in table.columns if name not in (table.patient, *table.key)]
        n = pl.len().over(others[0])
        return rows.sort(ID, n, ROW, descending=[False, True, False])

    edited(
        patch,
        caps,
        "cap_rows",
        (
            "before.sort(ID, *_order(schema, table), nulls_last=True)",
            "by_count(before, table)",
        ),
        by_count=by_count,
    )


def equal_rows_of_two(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        owners,
        "_scope_keys",
        (
            'whole.unique(content, keep="any")',
            "whole.unique([n for n in table.columns if n != table.patient], keep='first',"
            " maintain_order=True)",
        ),
    )


def ids_alike(patch: pytest.MonkeyPatch) -> None:
    """An id is written in one way: small letters, no leading zeros."""
    alike = pl.col(ID).cast(pl.String).str.to_lowercase().str.strip_chars_start("0")
    edited(
        patch,
        owners,
        "_with_patient",
        ("return rows.rename({OWNER: ID})", "return rows.rename({OWNER: ID}).with_columns(alike)"),
        alike=alike,
    )


def first_come(patch: pytest.MonkeyPatch) -> None:
    """A row without an id is the first patient's of those who share its key."""
    edited(
        patch,
        owners,
        "_owners_by_key",
        ("        .unique()\n", "        .unique(OWNER, keep='first', maintain_order=True)\n"),
    )


def numbered_people(patch: pytest.MonkeyPatch) -> None:
    """In a table without ids a person is called by the place of the row."""
    edited(
        patch,
        owners,
        "kept_tables",
        ("nth = pl.int_range(pl.len()).over(ID)", "nth = pl.int_range(pl.len())"),
    )


def last_line(patch: pytest.MonkeyPatch) -> None:
    blocks = csv_lines.blocks

    def without_last(*arguments: object) -> Iterator[bytes]:
        for block in blocks(*arguments):  # type: ignore[arg-type]
            lines = block.splitlines(keepends=True)
            yield b"".join(lines[:-1] if len(lines) > 3 else lines)

    patch.setattr(csv_lines, "blocks", without_last)


def cut_rows(patch: pytest.MonkeyPatch) -> None:
    """A row of several lines ends where the block does."""
    edited(
        patch,
        quoted_rows,
        "parsed_blocks",
        (
            "        cut = int(ends[-1]) + 1 if len(ends) else 0\n",
            "        cut = rest.rfind(b'\\n') + 1\n        ends = np.append(ends, cut - 1)"
            " if cut and (not len(ends) or ends[-1] != cut - 1) else ends\n",
        ),
    )


def buckets_by_place(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        owners,
        "assign_owners",
        ("(pl.col(ID).hash(0) % owned.n_buckets)", "(pl.col(ROW) % owned.n_buckets)"),
    )


def equal_rows_of_a_block(patch: pytest.MonkeyPatch) -> None:
    """Equal rows are one where they stand in one block, and two else."""
    edited(
        patch,
        owners,
        "_scope_keys",
        ('whole.unique(content, keep="any")', "whole.unique([*content, ROW], keep='any')"),
    )
    edited(
        patch,
        stage,
        "_type_rows",
        (
            "        rows.write_parquet(",
            "        rows = rows.unique(maintain_order=True)\n        rows.write_parquet(",
        ),
    )


def full_batches(patch: pytest.MonkeyPatch) -> None:
    """A full batch of rows ends one row too early."""
    block_of = arrow_source.block_of

    def short(batch: pa.RecordBatch, *arguments: Any) -> Block:
        return block_of(batch.slice(0, arrow_source.BATCH_ROWS - 1), *arguments)

    patch.setattr(arrow_source, "block_of", short)


def json_by_batch(patch: pytest.MonkeyPatch) -> None:
    """The last object of a block is read with the next one, and with none at the end."""
    edited(
        patch,
        json_source._Reader,
        "blocks",
        ('block.split(b"\\n")[:-1]', 'block.split(b"\\n")[: -1 if len(block) < 200 else -2]'),
    )


def patients_by_chunk(patch: pytest.MonkeyPatch) -> None:
    """Events are joined to the patients of their chunk by place."""
    edited(
        patch,
        encoded_log,
        "encode_log",
        ("patients.iter_slices(CHUNK)", "patients.iter_slices(CHUNK + 1)"),
    )
    edited(
        patch,
        encoded_log,
        "_encode_chunk",
        ("log = _truncated(coding, patients, events)",
         "log = _truncated(coding, patients[: CHUNK or None], events)"),
    )  # fmt: skip


def not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(origin, "refuse_other_rows", lambda note, now, marks: None)


def not_compared_with_the_charge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(train, "_refuse_other_rows", lambda workspace, params, schema, reservation: None)


def cohorts_alone_compared(patch: pytest.MonkeyPatch) -> None:
    """As it was: reserve compares nothing, train the cohorts alone."""
    not_compared(patch)
    edited(
        patch,
        train,
        "_refuse_other_rows",
        (
            "charged = (reservation.population, reservation.source_label, reservation.cohorts)\n",
            "charged = reservation.cohorts\n",
        ),
        (
            "charged != (rows.population, rows.source_label, rows.cohorts)",
            "charged != rows.cohorts",
        ),
    )


def any_register(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        origin,
        "refuse_other_rows",
        ("if note.mark is not None and note.mark not in marks:", "if False:"),
    )


def any_names(patch: pytest.MonkeyPatch) -> None:
    for module in (sample, publish):
        patch.setattr(module, "check_names", lambda home, params, schema: None)


def any_release(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(charged_draw, "_refuse_unpublished_model", lambda ledger, drawn_from, model: None)


ALONE, BORDER = "alone is not as among all", "with small sizes"
_fault = partial(Fault, long=False)
FAULTS = (
    _fault(
        name="missing values filled by the median of all",
        caught_by=ONE_TABLE,
        patch=medians,
        found_as=ALONE,
    ),
    _fault(
        name="numbers cut at quantiles of all", caught_by=WIDE, patch=winsorised, found_as=ALONE
    ),
    _fault(name="rare values suppressed", caught_by=ONE_TABLE, patch=rare_values, found_as=ALONE),
    _fault(
        name="dates shifted by the first date of all",
        caught_by=ONE_TABLE,
        patch=shifted_dates,
        found_as=ALONE,
    ),
    _fault(
        name="a cap that keeps the commonest rows of all",
        caught_by=EVENTS,
        patch=most_common,
        found_as=ALONE,
    ),
    _fault(
        name="child rows deduplicated across patients",
        caught_by=LONG_TABLE,
        patch=equal_rows_of_two,
        found_as=ALONE,
    ),
    _fault(name="two ids taken for one", caught_by=LONG_TABLE, patch=ids_alike, found_as=ALONE),
    _fault(
        name="a person called by the place of the row",
        caught_by=ROWS,
        patch=numbered_people,
        found_as=ALONE,
    ),
    _fault(
        name="a shared key that belongs to whoever comes first",
        caught_by=REGISTRY,
        patch=first_come,
        found_as=ALONE,
        long=True,
    ),
    _fault(
        name="the last line of a block dropped", caught_by=JSON, patch=last_line, found_as=BORDER
    ),
    _fault(
        name="rows of several lines cut where a block ends",
        caught_by=BREAKS,
        patch=cut_rows,
        found_as="quotes do not match",
    ),
    _fault(name="buckets by position", caught_by=CSV, patch=buckets_by_place, found_as=BORDER),
    _fault(
        name="equal rows found within a block only",
        caught_by=JSON,
        patch=equal_rows_of_a_block,
        found_as=BORDER,
    ),
    _fault(
        name="the last object of a block dropped",
        caught_by=JSON,
        patch=json_by_batch,
        found_as=BORDER,
    ),
    _fault(
        name="the last row of a full batch dropped",
        caught_by=PARQUET,
        patch=full_batches,
        found_as=BORDER,
    ),
    _fault(
        name="the last patient of a chunk without events",
        caught_by=TRAINING,
        patch=patients_by_chunk,
        found_as=BORDER,
    ),
    _fault(
        name="rows of one population charged to another",
        caught_by=OPENINGS,
        patch=cohorts_alone_compared,
        found_as="the population",
    ),
    _fault(
        name="rows charged under another source than they were read from",
        caught_by=OPENINGS,
        patch=not_compared,
        found_as="the population",
    ),
    _fault(
        name="rows read anew after the charge, for others",
        caught_by=RESUMED,
        patch=not_compared_with_the_charge,
        found_as="opened under a charge",
        long=True,
    ),
    _fault(
        name="another register of cohorts put in its place",
        caught_by=OPENINGS,
        patch=any_register,
        found_as="the register of cohorts",
        long=True,
    ),
    _fault(
        name="a card that names others than were charged",
        caught_by=OPENINGS,
        patch=any_names,
        found_as="cites a charge of others",
    ),
    _fault(
        name="a model of one release under the card of another",
        caught_by=OPENINGS,
        patch=any_release,
        found_as="whose draw it is",
        long=True,
    ),
)
