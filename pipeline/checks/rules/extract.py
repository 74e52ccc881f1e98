"""Clinical rules 55 to 58: the extract as a whole. 55 and 56 compare with patients' rows:
restricted information that no code acts on.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, mean, rows_where, together
from pipeline.checks.rules.registry import (
    CYCLE,
    DRUG,
    GENE,
    PATIENT,
    REGIMEN,
    TUMOUR,
    Registry,
    text,
)
from pipeline.schema.patient_log import ID

MISSING_TOLERANCE = 0.05
Tables = Mapping[str, pl.DataFrame] | Mapping[str, pl.LazyFrame]
RARE = {
    "SITE_ICD10_O2_3CHAR": TUMOUR,
    "MORPH_ICD10_O2": TUMOUR,
    "MAPPED_REGIMEN": REGIMEN,
    "GENE_DESC": GENE,
}


def missing_shares(tables: Tables) -> dict[str, float]:
    """ "table.COLUMN" -> share of missing values. Of patients' tables this is restricted."""
    shares: dict[str, float] = {}
    for name, rows in tables.items():
        names = [column for column in rows.collect_schema() if column != ID]
        counts = rows.lazy().select(pl.len().alias(ID), pl.col(names).null_count())
        n_rows, *missing = counts.collect(engine="streaming").row(0)
        if n_rows:
            shares |= {
                f"{name}.{column}": n / n_rows for column, n in zip(names, missing, strict=True)
            }
    return shares


def missingness(registry: Registry, context: RuleContext) -> Finding | None:
    """The largest difference of a modelled column's share of missing values from the source's;
    restricted zone only.

    Carried columns are empty in an extract by design and are left out.
    """
    if context.missing_share is None:
        return None
    own = missing_shares(
        {registry.declared_name(name): rows for name, rows in registry.tables.items()}
    )
    visible = {
        f"{table.name}.{column.name}"
        for table in registry.schema.tables.values()
        for column in table.columns.values()
        if column.role != "carried"
    }
    differences = [
        abs(own[name] - context.missing_share[name])
        for name in visible
        if name in own and name in context.missing_share
    ]
    return Finding(None, len(differences), max(differences, default=None))


def copies(synthetic: pl.DataFrame, real_rows: pl.DataFrame, columns: list[str]) -> int:
    """Clinical rule 56: how many synthetic rows equal a real one on all of `columns`. Restricted
    information: no gate, no deletion, no release.
    """
    shared = real_rows.select(
        pl.col(column).cast(synthetic.schema[column], strict=False) for column in columns
    ).unique()
    return synthetic.join(shared, on=columns, how="semi", nulls_equal=True).height


def no_copies_here(registry: Registry, context: RuleContext) -> None:
    """The search for copies needs both sides: evaluate calls `copies` in the restricted zone. A
    gate must not know its answer.
    """
    return


def rare_categories(registry: Registry, context: RuleContext) -> Finding | None:
    """Rows with a value whose charged noisy count lies below the threshold. Without charged counts
    the rule cannot be asked.
    """
    if context.noisy_counts is None or not context.is_synthetic:
        return None
    findings = []
    for column, table in RARE.items():
        counts = context.noisy_counts.get(column)
        if counts is not None and registry.has(table, [column]):
            rare = [value for value, count in counts.items() if count < context.gate.rare_below]
            findings.append(rows_where(registry[table], text(column).is_in(rare)))
    return together(*findings) if findings else None


def tumours_per_patient(registry: Registry, context: RuleContext) -> Finding:
    return mean(registry[TUMOUR].height, registry[PATIENT].height)


def cycles_per_regimen(registry: Registry, context: RuleContext) -> Finding:
    return mean(registry[CYCLE].height, registry[REGIMEN].height)


def drugs_per_cycle(registry: Registry, context: RuleContext) -> Finding:
    return mean(registry[DRUG].height, registry[CYCLE].height)


RULES = (
    Rule(
        number=55,
        title="Missing shares within 5 points of the source (restricted)",
        severity="W",
        scope="rate",
        bounds=(None, MISSING_TOLERANCE),
        check=missingness,
    ),
    Rule(
        number=56,
        title="Search for copies of source records (restricted information, never a gate)",
        severity="W",
        scope="rate",
        bounds=(None, None),
        check=no_copies_here,
    ),
    Rule(
        number=57,
        title="Rows with a category whose noisy count does not show that anybody has it",
        severity="W",
        check=rare_categories,
        reads={TUMOUR: ["SITE_ICD10_O2_3CHAR"]},
    ),
    Rule(
        number=58,
        part="a",
        title="Tumours per patient",
        severity="W",
        scope="rate",
        bounds=(1.03, 1.15),
        check=tumours_per_patient,
        reads={TUMOUR: ["PATIENTID"], PATIENT: ["PATIENTID"]},
    ),
    Rule(
        number=58,
        part="b",
        title="Cycles per regimen",
        severity="W",
        scope="rate",
        bounds=(2.5, 6.0),
        check=cycles_per_regimen,
        reads={CYCLE: ["MERGED_REGIMEN_ID"], REGIMEN: ["MERGED_REGIMEN_ID"]},
    ),
    Rule(
        number=58,
        part="c",
        title="Drug rows per cycle",
        severity="W",
        scope="rate",
        bounds=(1.8, 3.5),
        check=drugs_per_cycle,
        reads={DRUG: ["MERGED_CYCLE_ID"], CYCLE: ["MERGED_CYCLE_ID"]},
    ),
)
