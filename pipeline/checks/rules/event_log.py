"""Clinical rules 53 and 54: the event log that stands beside the tables."""

from __future__ import annotations

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where
from pipeline.checks.rules.registry import TUMOUR, Registry
from pipeline.schema.patient_log import ID, PatientLog


def log_is_well_formed(registry: Registry, context: RuleContext) -> Finding | None:
    """One DIAGNOSIS for the first tumour and one NEW_TUMOUR for each other; `seq` 0..n-1 in order
    of day; one terminal event, the last.
    """
    if registry.log is None or registry.log.events is None or registry.schema.events is None:
        return None
    terminal = list(registry.schema.events.terminal)
    is_terminal = pl.col("type").is_in(terminal)
    events = registry.log.pathways.select(ID, pl.col("seq").cast(pl.Int64), "day", "type").sort(
        ID, "seq", maintain_order=True
    )
    backwards = (pl.col("day").diff().over(ID) < 0).fill_null(False)
    per_patient = (
        events.with_columns(backwards.alias("back"))
        .group_by(ID)
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("seq").min().alias("low"),
            pl.col("seq").max().alias("high"),
            pl.col("seq").n_unique().cast(pl.Int64).alias("distinct"),
            pl.col("back").any(),
            is_terminal.sum().cast(pl.Int64).alias("ends"),
            is_terminal.last().alias("ends_last"),
            (pl.col("type") == "DIAGNOSIS").sum().cast(pl.Int64).alias("diagnoses"),
            (pl.col("type") == "NEW_TUMOUR").sum().cast(pl.Int64).alias("others"),
        )
    )
    tumours = registry[TUMOUR].group_by(ID).agg(pl.len().cast(pl.Int64).alias("tumours"))
    rows = registry.log.patients.select(ID).join(per_patient, on=ID, how="left")
    rows = rows.join(_same_type(tumours, registry.log), on=ID, how="left")
    is_numbered = (
        (pl.col("low") == 0)
        & (pl.col("high") == pl.col("n") - 1)
        & (pl.col("distinct") == pl.col("n"))
        & ~pl.col("back")
    )
    has_one_end = (pl.col("ends") == 1) & pl.col("ends_last")
    has_all_tumours = (pl.col("diagnoses") == 1) & (
        pl.col("diagnoses") + pl.col("others") == pl.col("tumours")
    )
    return rows_where(rows, ~(is_numbered & has_one_end & has_all_tumours).fill_null(False))


def _same_type(rows: pl.DataFrame, log: PatientLog) -> pl.DataFrame:
    return rows.with_columns(pl.col(ID).cast(log.patients.schema[ID], strict=False))


def log_rebuilds(registry: Registry, context: RuleContext) -> Finding | None:
    """The log made anew from the tables is the stored one: per patient the same events, compared as
    sums of row hashes.
    """
    if registry.log is None or registry.log.events is None or registry.schema.events is None:
        return None
    from pipeline.adapters import to_log

    declarations = {
        name: registry.schema.tables[registry.declared_name(name)] for name in registry.raw
    }
    tables = {
        table.name: registry.raw[name].select(list(table.columns))
        for name, table in declarations.items()
    }
    rebuilt = to_log(registry.schema, tables).log.pathways
    columns = ["seq", "day", "type", "code", *registry.schema.events.attributes]
    sums = _sums(registry.log.pathways, columns, rebuilt)
    both = sums.join(_sums(rebuilt, columns, rebuilt), on=ID, how="left", suffix="_rebuilt")
    return rows_where(
        both,
        pl.col("sum").ne_missing(pl.col("sum_rebuilt"))
        | pl.col("n").ne_missing(pl.col("n_rebuilt")),
    )


def _sums(events: pl.DataFrame, columns: list[str], like: pl.DataFrame) -> pl.DataFrame:
    rows = events.select(
        pl.col(column).cast(like.schema[column], strict=False) for column in (ID, *columns)
    )
    hashed = rows.select(ID, (rows.hash_rows(seed=0) % (2**40)).cast(pl.Int64).alias("hash"))
    return hashed.group_by(ID).agg(pl.col("hash").sum().alias("sum"), pl.len().alias("n"))


RULES = (
    Rule(
        number=53,
        title=(
            "The log: one diagnosis per tumour, numbered and ordered events, one terminal event,"
            " the last"
        ),
        severity="F",
        check=log_is_well_formed,
        reads={TUMOUR: ["PATIENTID"]},
    ),
    Rule(
        number=54,
        title="The log rebuilt from the tables is the stored one",
        severity="F",
        check=log_rebuilds,
        reads={TUMOUR: ["PATIENTID"]},
    ),
)
