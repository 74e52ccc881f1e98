"""One bucket of patients after the other, or several at once: from attributed rows to the parts of
`restricted/data`. All rows of a patient lie in one bucket, so none knows of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.adapters.long_table import in_two
from pipeline.adapters.row_events import n_found
from pipeline.params import Params
from pipeline.restricted.ingest import batches, cohorts, holdout, owners, shared_keys
from pipeline.restricted.ingest.account import OTHER_COHORT, Account
from pipeline.schema.event_days import ends_are_rows
from pipeline.schema.long_table import with_people
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema

TABLES, PATIENTS, EVENTS, CARRIED = "tables", "patients", "events", "carried"


@dataclass(frozen=True, kw_only=True)
class BucketPlan:
    """What every bucket is prepared by. `dropped`: patient_id and reason, found before the buckets;
    `out`: where parts go.
    """

    schema: Schema
    params: Params
    owned: owners.Owned
    key: bytes
    dropped: tuple[pl.DataFrame, ...]
    out: Path
    register: cohorts.Register | None


@dataclass(frozen=True)
class Bucket:
    """What is to be told of a bucket: its counts, and who was dropped in it. Restricted."""

    account: Account
    dropped: list[pl.DataFrame]


def write_bucket(task: tuple[BucketPlan, int]) -> Bucket:
    """Writes the parts of one bucket."""
    plan, number = task
    schema, params, account = plan.schema, plan.params, Account()
    findings = owners.Findings(dropped=list(plan.dropped), account=account)
    n_parts = 0
    for tables in shared_keys.without_shared_keys(
        schema, owners.kept_tables(schema, plan.owned, number, findings)
    ):
        for prepared in batches.prepare(schema, tables, params.release.extract_date, account):
            chosen = _of_cohorts(schema, params, prepared, plan.register, account)
            held_out = _held_out(schema, chosen.log.patients, plan.key, params.ingest.holdout_share)
            _write_part(plan.out, f"{number:06}-{n_parts:06}", chosen, held_out)
            account.patients.update(kept=chosen.log.patients.height, held_out=held_out.height)
            _account_for(schema, chosen, account)
            n_parts += 1
    return Bucket(account, findings.dropped[len(plan.dropped) :])


def _of_cohorts(
    schema: Schema,
    params: Params,
    prepared: batches.Prepared,
    register: cohorts.Register | None,
    account: Account,
) -> batches.Prepared:
    """The patients of the cohorts that the release opens."""
    others = cohorts.enrol(schema, params.release.cohorts, register, prepared.log.patients)
    chosen = prepared.without(others)
    account.patients["other_cohorts"] += others.height
    account.compare(prepared.tables, chosen.tables, OTHER_COHORT)
    return chosen


def _account_for(schema: Schema, chosen: batches.Prepared, account: Account) -> None:
    """Notes what is kept: rows by table, and the rows of a log that are events."""
    for name, rows in chosen.tables.items():
        account.rows_kept[name] += rows.height
    log_schema = with_people(schema)
    if log_schema.events is None or chosen.log.events is None:
        return
    account.lose_events(chosen.left_out, chosen.moved, chosen.log.patients)
    account.events_kept += _n_row_events(log_schema, log_schema.events, chosen.log.pathways)
    if log_schema.events.rows:
        account.events_found += n_found(log_schema, in_two(schema, chosen.tables))


def _n_row_events(schema: Schema, log: EventLog, events: pl.DataFrame) -> int:
    """How many events are rows: all, but for the ends that are none."""
    if not log.rows or ends_are_rows(schema, log):
        return events.height
    return events.filter(~pl.col("type").is_in(log.terminal)).height


def _held_out(schema: Schema, patients: pl.DataFrame, key: bytes, share: float) -> pl.DataFrame:
    main = schema.tables[owners.patient_table(schema)]
    coins = holdout.is_held_out(
        holdout.identity(patients[ID], is_row_hash=main.patient is None), key, share
    )
    return patients.select(ID).filter(coins)


def _write_part(
    out: Path, name_of_part: str, prepared: batches.Prepared, held_out: pl.DataFrame
) -> None:
    frames: dict[str, pl.DataFrame] = {
        f"{TABLES}/{name}": rows for name, rows in prepared.tables.items()
    }
    frames |= {f"{CARRIED}/{name}": rows for name, rows in prepared.carried.items()}
    for name, rows in ((PATIENTS, prepared.log.patients), (EVENTS, prepared.log.events)):
        if rows is not None:
            frames[name] = rows.join(held_out, on=ID, how="anti", maintain_order="left")
            frames[f"holdout_{name}"] = rows.join(
                held_out, on=ID, how="semi", maintain_order="left"
            )
    for name, rows in frames.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        rows.write_parquet(out / name / f"{name_of_part}.parquet")
