"""simulate(): a plausible confidential registry extract in the Simulacrum v2.1 tables, with known
truth.
"""

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl

from pipeline.refusal import Refusal
from pipeline.simulator import DEFAULT_EXTRACT
from pipeline.simulator.broken_rules.every_rule import break_every_rule
from pipeline.simulator.dirt import add_dirt
from pipeline.simulator.latent import draw_lifetimes
from pipeline.simulator.tables_av import (
    cwt_table,
    gene_table,
    patient_table,
    route_table,
    tumour_table,
)
from pipeline.simulator.tables_rtds import rtds_tables
from pipeline.simulator.tables_sact import sact_tables
from pipeline.simulator.truth import truth
from pipeline.simulator.values import View
from pipeline.simulator.view import view
from pipeline.simulator.write import write_extract

logger = logging.getLogger(__name__)


def simulate(
    n_patients: int,
    seed: int,
    out: Path,
    extract_date: date = DEFAULT_EXTRACT,
    clean: bool = False,
    every_rule: bool = False,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write the 11 CSVs, ext_route.csv, ext_cwt_pathway.csv and truth.json into `out`, all or
    nothing.

    n_patients: patients registered by the default extract date 2022-12-31; an earlier date shows
        fewer of them, a later one up to a ninth more. A later `extract_date` with the same seed and
        n_patients shows the same patients, ids and events, with what happened since.
    clean: no dirt at all (every rule of clinical_rules.md holds).
    every_rule: on top of the clean tables, each F rule broken by one patient of its own (needs
        about 3,000 patients).
    """
    say = progress or logger.info
    if n_patients < 1:
        raise Refusal(f"simulate: n_patients must be at least 1, got {n_patients}")
    if not date(2016, 1, 1) <= extract_date <= date(2045, 12, 31):
        raise Refusal(
            "simulate: the extract date must lie between 2016-01-01 and 2045-12-31, got"
            f" {extract_date}"
        )
    extract = view(draw_lifetimes(n_patients, seed, say), extract_date)
    tables = registry_tables(extract, seed)
    say("simulate: tables built")
    dirt: dict[str, object] = {"kind": "none"}
    if every_rule:
        tables, broken = break_every_rule(tables, extract_date)
        dirt = {"kind": "every-rule", "broken": broken}
    elif not clean:
        tables, cells_hit = add_dirt(tables, seed)
        dirt = {"kind": "default", "cells": cells_hit}
    write_extract(
        tables,
        truth(
            extract, tables, n_patients=n_patients, seed=seed, extract_date=extract_date, dirt=dirt
        ),
        out,
    )
    say("simulate: files written")


def registry_tables(extract: View, seed: int) -> dict[str, pl.DataFrame]:
    """The clean tables of one view, by file name without ending; rows in order of their keys."""
    tables = {
        "sim_av_patient": patient_table(extract, seed),
        "sim_av_tumour": tumour_table(extract, seed),
        "sim_av_gene": gene_table(extract, seed),
        **sact_tables(extract, seed),
        **rtds_tables(extract, seed),
        "ext_route": route_table(extract),
        "ext_cwt_pathway": cwt_table(extract, seed),
    }
    keys = {
        "sim_av_patient": ["PATIENTID"],
        "sim_av_tumour": ["PATIENTID", "TUMOURID"],
        "sim_av_gene": ["PATIENTID", "GENEID"],
        "sim_sact_regimen": ["ENCORE_PATIENT_ID", "START_DATE_OF_REGIMEN"],
        "sim_sact_cycle": ["MERGED_REGIMEN_ID", "CYCLE_NUMBER"],
        "sim_sact_drug_detail": ["MERGED_CYCLE_ID", "MERGED_DRUG_DETAIL_ID"],
        "sim_sact_outcome": ["MERGED_REGIMEN_ID"],
        "ext_route": ["TUMOURID"],
        "ext_cwt_pathway": ["PATIENTID", "TUMOURID"],
    }
    radiotherapy = ["PATIENTID", "RADIOTHERAPYEPISODEID", "APPTDATE"]
    return {
        name: table.sort(keys.get(name, radiotherapy), maintain_order=True)
        for name, table in tables.items()
    }
