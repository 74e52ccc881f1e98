"""Clinical rules 1 to 8: keys, references between tables, and the shape of the tables."""

from __future__ import annotations

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, share, together
from pipeline.checks.rules.registry import (
    COMBINED,
    CYCLE,
    DRUG,
    ELEVEN,
    EPISODE,
    EXPOSURE,
    GENE,
    OUTCOME,
    PATIENT,
    PRESCRIPTION,
    REGIMEN,
    TUMOUR,
    Registry,
    text,
)
from pipeline.checks.rules.shapes import shape_problems
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID

ATTENDANCE = ("RADIOTHERAPYEPISODEID", "ATTENDID")
UNKEYED = (EXPOSURE, COMBINED)  # several exposures may belong to one prescription at one attendance


def primary_keys(registry: Registry, context: RuleContext) -> Finding:
    findings = []
    for table in ELEVEN:
        key = registry.key(table) if registry.has(table) else ()
        if key and table not in UNKEYED:
            findings.append(_repeated(registry[table], key, context))
    return together(*findings)


def _repeated(rows: pl.DataFrame, key: tuple[str, ...], context: RuleContext) -> Finding:
    """Rows whose key is missing or not the only one: among all rows, or among the patient's own."""
    scope = list(key) if context.across_patients else list(dict.fromkeys([ID, *key]))
    wrong = (
        rows.select(scope).is_duplicated()
        | rows.select(pl.any_horizontal(pl.col(key).is_null())).to_series()
    )
    return Finding(rows.filter(wrong).select(ID), rows.height)


def link_numbers(registry: Registry, context: RuleContext) -> Finding:
    patients = registry[PATIENT].select(ID, text("LINKNUMBER").alias("link"))
    findings = [rows_where(patients, pl.col("link").is_null())]
    if context.across_patients:
        findings.append(
            Finding(
                patients.filter(pl.col("link").is_not_null() & patients["link"].is_duplicated()), 0
            )
        )
    if registry.has(REGIMEN, ["LINK_NUMBER"]):
        regimens = registry[REGIMEN].join(patients.unique(ID), on=ID, how="left")
        findings.append(
            rows_where(
                regimens,
                pl.col("link").is_not_null() & ~text("LINK_NUMBER").eq_missing(pl.col("link")),
            )
        )
    return together(*findings)


def tumours_and_patients(registry: Registry, context: RuleContext) -> Finding:
    tumours, patients = registry[TUMOUR], registry[PATIENT]
    return together(_orphans(tumours, patients, ()), _orphans(patients, tumours, ()))


def genes_of_tumours(registry: Registry, context: RuleContext) -> Finding:
    return _orphans(registry[GENE], registry[TUMOUR], ("TUMOURID",))


def systemic_references(registry: Registry, context: RuleContext) -> Finding:
    """Regimens of patients, cycles and outcomes of regimens, drugs of cycles; one outcome per
    regimen.
    """
    findings = [_orphans(registry[REGIMEN], registry[PATIENT], ())]
    for child, parent, key in (
        (CYCLE, REGIMEN, "MERGED_REGIMEN_ID"),
        (DRUG, CYCLE, "MERGED_CYCLE_ID"),
        (OUTCOME, REGIMEN, "MERGED_REGIMEN_ID"),
    ):
        if registry.has(child, [key]) and registry.has(parent, [key]):
            findings.append(_orphans(registry[child], registry[parent], (key,)))
    if registry.has(OUTCOME, ["MERGED_REGIMEN_ID"]):
        findings.append(_repeated(registry[OUTCOME], ("MERGED_REGIMEN_ID",), context))
    return together(*findings)


def regimens_without_cycle(registry: Registry, context: RuleContext) -> Finding:
    bare = _orphans(registry[REGIMEN], registry[CYCLE], ("MERGED_REGIMEN_ID",))
    return share(bare.n_failing, bare.checked)


def radiotherapy_references(registry: Registry, context: RuleContext) -> Finding:
    findings = [_orphans(registry[EPISODE], registry[PATIENT], ())]
    if registry.has(PRESCRIPTION, ATTENDANCE):
        findings.append(_orphans(registry[PRESCRIPTION], registry[EPISODE], ATTENDANCE))
    if registry.has(PRESCRIPTION, ATTENDANCE) and registry.has(EXPOSURE, ATTENDANCE):
        findings.append(
            _orphans(registry[EXPOSURE], registry[PRESCRIPTION], (*ATTENDANCE, "PRESCRIPTIONID"))
        )
    return together(*findings)


def _orphans(child: pl.DataFrame, parent: pl.DataFrame, key: tuple[str, ...]) -> Finding:
    """Rows of `child` for which the same patient has no row of `parent` with the same key. A
    missing key is an orphan.
    """
    on = [ID, *key]
    parents = parent.select(on).with_columns(
        pl.col(column).cast(child.schema[column], strict=False) for column in key
    )
    return Finding(
        child.select(on).join(parents.unique(), on=on, how="anti").select(ID), child.height
    )


def combined_is_the_join(registry: Registry, context: RuleContext) -> Finding:
    """COMBINED against episode, prescription and exposure joined anew: per patient the same rows,
    as a sum of row hashes.
    """
    combined = registry[COMBINED]
    shared = [
        column
        for column in ("APPTDATE", "LINKCODE")
        if all(registry.has(t, [column]) for t in (EPISODE, PRESCRIPTION, EXPOSURE))
    ]
    on = [ID, *ATTENDANCE, *shared]
    joined = _keep(registry[EPISODE], on, combined).join(
        _keep(registry[PRESCRIPTION], [*on, "PRESCRIPTIONID"], combined), on=on, nulls_equal=True
    )
    joined = joined.join(
        _keep(registry[EXPOSURE], [*on, "PRESCRIPTIONID"], combined),
        on=[*on, "PRESCRIPTIONID"],
        nulls_equal=True,
    )
    columns = [column for column in combined.columns if column != "PATIENTID"]
    if missing := [column for column in columns if column not in joined.columns]:
        raise Refusal(
            f"{COMBINED} has columns that no radiotherapy table has: {', '.join(missing)}. Check"
            " the declaration."
        )
    alike = joined.select(
        pl.col(column).cast(combined.schema[column], strict=False) for column in columns
    )
    sums = _row_sums(combined.select(columns)).join(
        _row_sums(alike),
        on=ID,
        how="full",
        coalesce=True,
        nulls_equal=True,
        suffix="_joined",
    )
    wrong = sums.filter(
        ~(
            pl.col("sum").eq_missing(pl.col("sum_joined"))
            & pl.col("n").eq_missing(pl.col("n_joined"))
        )
    )
    return Finding(wrong.select(ID), sums.height)


def _keep(rows: pl.DataFrame, on: list[str], combined: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        on
        + [
            column
            for column in rows.columns
            if column in combined.columns and column not in on and column != "PATIENTID"
        ]
    )


def _row_sums(rows: pl.DataFrame) -> pl.DataFrame:
    hashed = rows.select(ID, (rows.hash_rows(seed=0) % (2**40)).cast(pl.Int64).alias("hash"))
    return hashed.group_by(ID).agg(
        pl.col("hash").sum().alias("sum"), pl.len().cast(pl.Int64).alias("n")
    )


def table_shapes(registry: Registry, context: RuleContext) -> Finding:
    """Tables of the eleven that are absent, or whose columns, their order or their types are not
    the declared ones.
    """
    wrong = [
        table
        for table in ELEVEN
        if _is_declared(registry, table) and not _has_shape(registry, table)
    ]
    return Finding(pl.DataFrame({ID: [None] * len(wrong)}), len(ELEVEN))


def _is_declared(registry: Registry, table: str) -> bool:
    try:
        return registry.declared_name(table) is not None
    except StopIteration:
        return False


def _has_shape(registry: Registry, table: str) -> bool:
    return table in registry.raw and not shape_problems(
        registry.schema.tables[registry.declared_name(table)], registry.raw[table]
    )


RULES = (
    Rule(
        number=1,
        title="Keys are filled and unique",
        of_everybody=True,
        severity="F",
        check=primary_keys,
        reads={PATIENT: ["PATIENTID"]},
    ),
    Rule(
        number=2,
        title="LINKNUMBER is unique, and a regimen's LINK_NUMBER is its patient's",
        of_everybody=True,
        severity="F",
        check=link_numbers,
        reads={PATIENT: ["LINKNUMBER"]},
    ),
    Rule(
        number=3,
        title="Every tumour has its patient, every patient a tumour",
        severity="F",
        check=tumours_and_patients,
        reads={PATIENT: ["PATIENTID"], TUMOUR: ["PATIENTID"]},
    ),
    Rule(
        number=4,
        title="Every gene test has its tumour, of the same patient",
        severity="F",
        check=genes_of_tumours,
        reads={GENE: ["TUMOURID", "PATIENTID"], TUMOUR: ["TUMOURID"]},
    ),
    Rule(
        number=5,
        part="a",
        title="Regimens, cycles, drugs and outcomes have their parents; one outcome per regimen",
        of_everybody=True,
        severity="F",
        check=systemic_references,
        reads={REGIMEN: ["ENCORE_PATIENT_ID", "MERGED_REGIMEN_ID"], PATIENT: ["PATIENTID"]},
    ),
    Rule(
        number=5,
        part="b",
        title="Regimens without a cycle",
        severity="W",
        scope="rate",
        bounds=(None, 0.05),
        check=regimens_without_cycle,
        reads={REGIMEN: ["MERGED_REGIMEN_ID"], CYCLE: ["MERGED_REGIMEN_ID"]},
    ),
    Rule(
        number=6,
        title="Episodes, prescriptions and exposures have their parents",
        severity="F",
        check=radiotherapy_references,
        reads={EPISODE: ["PATIENTID", *ATTENDANCE], PATIENT: ["PATIENTID"]},
    ),
    Rule(
        number=7,
        title="COMBINED is episode, prescription and exposure joined",
        severity="F",
        check=combined_is_the_join,
        reads={
            COMBINED: ["PATIENTID", "PRESCRIPTIONID", *ATTENDANCE],
            EPISODE: ATTENDANCE,
            PRESCRIPTION: ATTENDANCE,
            EXPOSURE: ATTENDANCE,
        },
    ),
    Rule(
        number=8,
        title="Columns, their order and types are the declared ones",
        severity="F",
        scope="structure",
        check=table_shapes,
    ),
)
