"""`--dirt every-rule`: each F rule of clinical_rules.md broken once, each by a patient of its
own.

Left out: 8 (the files' structure, which stops a run), 53 and 54 (the event log is derived, no
source holds one), 57 (synthetic tables only).
"""

from datetime import date

import polars as pl

from pipeline.refusal import Refusal
from pipeline.simulator.broken_rules import drugs, genes, patients, radiotherapy, tumours
from pipeline.simulator.broken_rules.edits import (
    CYCLE,
    NUMBER,
    OWNER,
    REGIMEN,
    TUMOUR,
    Breach,
    Tables,
)


def break_every_rule(
    tables: Tables, extract_date: date
) -> tuple[Tables, dict[str, dict[str, object]]]:
    """New tables, all text, and per rule the patient who breaks it.

    Raises Refusal where an extract is too small to find one for each rule.
    """
    work = {name: _with_owner(tables, name) for name in tables}
    used: set[int] = set()
    broken: dict[str, dict[str, object]] = {}
    for breach in breaches(extract_date):
        free = work[breach.table].filter(breach.where & pl.col(OWNER).is_in(list(used)).not_())[
            OWNER
        ]
        if not len(free):
            raise Refusal(
                f"simulate: no patient left to break rule {breach.rule} ({breach.what}); simulate"
                " more patients, about 3,000"
            )
        patient = int(free.min())  # type: ignore[arg-type]
        used.add(patient)
        work = breach.edit(work, patient, extract_date)
        broken[breach.rule] = {"patient": patient, "what": breach.what}
    return {name: table.drop(OWNER, NUMBER) for name, table in work.items()}, broken


def breaches(extract_date: date) -> tuple[Breach, ...]:
    """Scarce patients first, so that none is spent on an easy rule."""
    return (
        *drugs.wrong_drugs(),
        *drugs.wrong_keys(),
        *drugs.wrong_courses(),
        *genes.wrong_gene_tests(),
        *radiotherapy.wrong_keys(),
        *radiotherapy.wrong_episodes(),
        *tumours.wrong_ages_and_stages(),
        *tumours.wrong_pathology(),
        *tumours.wrong_surgery(extract_date),
        *tumours.wrong_records(),
        *patients.wrong_patients(),
    )


def _with_owner(tables: Tables, name: str) -> pl.DataFrame:
    regimens = tables[REGIMEN].select("MERGED_REGIMEN_ID", pl.col("ENCORE_PATIENT_ID").alias(OWNER))
    table = tables[name]
    if "PATIENTID" in table.columns or "ENCORE_PATIENT_ID" in table.columns:
        owned = table.with_columns(
            pl.col("PATIENTID" if "PATIENTID" in table.columns else "ENCORE_PATIENT_ID").alias(
                OWNER
            )
        )
    elif "MERGED_REGIMEN_ID" in table.columns:
        owned = table.join(regimens, on="MERGED_REGIMEN_ID", how="left", maintain_order="left")
    elif "MERGED_CYCLE_ID" in table.columns:
        cycles = (
            tables[CYCLE]
            .select("MERGED_CYCLE_ID", "MERGED_REGIMEN_ID")
            .join(regimens, on="MERGED_REGIMEN_ID")
            .drop("MERGED_REGIMEN_ID")
        )
        owned = table.join(cycles, on="MERGED_CYCLE_ID", how="left", maintain_order="left")
    else:
        owned = table.join(
            tables[TUMOUR].select("TUMOURID", pl.col("PATIENTID").alias(OWNER)),
            on="TUMOURID",
            how="left",
            maintain_order="left",
        )
    texts = owned.with_columns(pl.exclude(OWNER).cast(pl.String))
    return texts.with_columns(pl.int_range(pl.len()).over(OWNER).alias(NUMBER))
