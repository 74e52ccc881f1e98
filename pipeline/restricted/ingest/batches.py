"""From attributed rows to the parts of `restricted/data`, bucket by bucket: patient repairs, F
rules, caps, adapter, last guard. All rows of a patient lie in one bucket, so none knows of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from pipeline import adapters
from pipeline.adapters.long_table import in_two
from pipeline.adapters.row_events import n_found
from pipeline.checks import rules
from pipeline.params import Params
from pipeline.restricted.ingest import (
    caps,
    holdout,
    model_form,
    owners,
    patient_repairs,
    shared_keys,
)
from pipeline.restricted.ingest.account import OF_DROPPED, OTHER_COHORT, Account
from pipeline.restricted.ingest.owners import ROW
from pipeline.schema.event_days import ends_are_rows
from pipeline.schema.long_table import with_people
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema

TABLES, PATIENTS, EVENTS, CARRIED = "tables", "patients", "events", "carried"
NOT_IN_LOG = "no pathway can be made of the tables"
CANNOT_HANDLE = "rows that the program cannot handle"
Tables = Mapping[str, pl.DataFrame]  # typed rows with patient_id and ROW, by table


@dataclass(frozen=True)
class Prepared:
    """The surviving patients of a batch: their tables (with patient_id and ROW), their log, and
    what is carried beside it.
    """

    tables: Mapping[str, pl.DataFrame]
    log: PatientLog
    carried: Mapping[str, pl.DataFrame]
    # patient_id, reason, n: events that the log has no place for; ends on another day
    left_out: pl.DataFrame
    moved: pl.DataFrame

    def without(self, gone: pl.DataFrame) -> Prepared:
        """All but the patients of `gone` (patient_id)."""
        if not gone.height:
            return self
        return replace(
            self,
            tables=_without(self.tables, gone),
            log=self.log.without(gone),
            carried=_without(self.carried, gone),
        )


def prepare(
    schema: Schema, tables: Tables, extract_date: date | None, account: Account
) -> list[Prepared]:
    """`tables`: the typed rows of one batch, each with patient_id and ROW. No two patients of it
    share a key, so joins by key stay within one. Several parts where some patients' rows raised an
    exception.
    """
    try:
        trial = Account()
        prepared = _prepare(schema, tables, extract_date, trial)
        account.add(trial)
        return [prepared]
    except (Exception, pl.exceptions.PanicException) as error:
        return _halves(schema, tables, extract_date, account, type(error).__name__)


def _halves(
    schema: Schema, tables: Tables, extract_date: date | None, account: Account, error: str
) -> list[Prepared]:
    """The patients in halves until the one whose rows raise is alone, and is dropped: one patient's
    rows cost neither the run nor another (privacy_rules.md 2).
    """
    everybody = pl.concat([rows.select(ID) for rows in tables.values()]).unique().sort(ID)
    if everybody.height <= 1:
        account.dropped[f"{CANNOT_HANDLE} ({error})"] += everybody.height
        account.compare(tables, {name: rows.clear() for name, rows in tables.items()}, OF_DROPPED)
        return []
    middle = everybody.height // 2
    return [
        part
        for half in (everybody[:middle], everybody[middle:])
        for part in prepare(
            schema,
            {
                name: rows.join(half, on=ID, how="semi", maintain_order="left")
                for name, rows in tables.items()
            },
            extract_date,
            account,
        )
    ]


def _prepare(
    schema: Schema, tables: Tables, extract_date: date | None, account: Account
) -> Prepared:
    read = tables
    everybody = pl.concat([rows.select(ID) for rows in tables.values()]).unique()
    tables = patient_repairs.apply(schema, tables, account.repaired)
    context = rules.RuleContext(extract_date=extract_date, is_synthetic=False)
    failing = rules.failing_patients(
        schema, {name: rows.drop(ROW) for name, rows in tables.items()}, context
    )
    reasons = failing.select(ID, ("rule " + pl.col("rule")).alias("reason"))
    tables = _without(tables, _tallied(reasons, everybody, account))
    account.compare(read, tables, OF_DROPPED)
    tables = caps.cap_rows(schema, tables, account)
    source = adapters.to_log(
        schema, {name: _plain(schema, rows, name) for name, rows in tables.items()}
    )
    log, left_out = source.log, source.left_out
    if schema.events is not None and log.events is not None:
        events, cut = caps.cap_events(schema.events, log.events)
        log, left_out = PatientLog(log.patients, events), pl.concat([left_out, cut])
    left = pl.concat([rows.select(ID) for rows in tables.values()]).unique()
    lost = left.join(log.patients, on=ID, how="anti").with_columns(
        pl.lit(NOT_IN_LOG).alias("reason")
    )
    broken = pl.concat([lost, model_form.faults(schema, log)], how="vertical_relaxed")
    whole = Prepared(tables, log, source.carried, left_out, source.moved)
    survivors = whole.without(_tallied(broken, everybody, account))
    account.compare(whole.tables, survivors.tables, OF_DROPPED)
    return survivors


def _plain(schema: Schema, rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """The declared columns; patient_id stays where the table has no id of its own."""
    table = schema.tables[name]
    has_own_id = table.patient is not None or table.through is not None
    return rows.select([*([] if has_own_id else [ID]), *table.columns])


def _tallied(faults: pl.DataFrame, everybody: pl.DataFrame, account: Account) -> pl.DataFrame:
    """Counts the reasons of `faults` (patient_id, reason); gives back the patients."""
    if not faults.height:
        return everybody.clear()
    faults = faults.with_columns(pl.col(ID).cast(everybody.schema[ID])).unique()
    account.dropped.update(dict(faults["reason"].value_counts().iter_rows()))
    return faults.select(ID).unique()


def _without(tables: Mapping[str, pl.DataFrame], gone: pl.DataFrame) -> dict[str, pl.DataFrame]:
    if not gone.height:
        return dict(tables)
    return {
        name: rows.join(gone, on=ID, how="anti", maintain_order="left")
        for name, rows in tables.items()
    }


@dataclass(frozen=True, kw_only=True)
class BucketPlan:
    """What every bucket is prepared by. `dropped`: patient_id and reason, found before the buckets;
    `out`: where parts go; `others`: of some patients those of cohorts that the release
    does not open (cohorts.enrol).
    """

    schema: Schema
    params: Params
    owned: owners.Owned
    key: bytes
    dropped: tuple[pl.DataFrame, ...]
    out: Path
    others: Callable[[pl.DataFrame], pl.DataFrame]


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
        for prepared in prepare(schema, tables, params.release.extract_date, account):
            chosen = _of_cohorts(plan, prepared, account)
            held_out = _held_out(schema, chosen.log.patients, plan.key, params.ingest.holdout_share)
            _write_part(plan.out, f"{number:06}-{n_parts:06}", chosen, held_out)
            account.patients.update(kept=chosen.log.patients.height, held_out=held_out.height)
            _account_for(schema, chosen, account)
            n_parts += 1
    return Bucket(account, findings.dropped[len(plan.dropped) :])


def _of_cohorts(plan: BucketPlan, prepared: Prepared, account: Account) -> Prepared:
    """The patients of the cohorts that the release opens."""
    others = plan.others(prepared.log.patients)
    chosen = prepared.without(others)
    account.patients["other_cohorts"] += others.height
    account.compare(prepared.tables, chosen.tables, OTHER_COHORT)
    return chosen


def _account_for(schema: Schema, chosen: Prepared, account: Account) -> None:
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


def _write_part(out: Path, name_of_part: str, prepared: Prepared, held_out: pl.DataFrame) -> None:
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
