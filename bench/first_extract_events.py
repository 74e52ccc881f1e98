"""What a clinician counts in the pathways of a small extract: impossible or rare things, beside the
source's own.

    python -m bench.first_extract_events --source SOURCE --extract EXTRACT

Both are folders with the CSV tables of a registry. Each figure is a count and what it is of.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench.pathway_data import EXTRACT, read_declaration
from pipeline.adapters.frames import physical
from pipeline.schema.code_relations import categories
from pipeline.schema.codes import tumour_sites
from pipeline.schema.values import Schema

Tables = Mapping[str, pl.DataFrame]
LATE_SURGERY, LONG_GAP, LONG_WAIT, LEAP, LAST_DAYS = 365, 90, 126, 2, 7
BLOOD = ("Leukaemia", "Lymphoma", "Myeloma")
SITE, REGIMEN = "SITE_ICD10_O2_3CHAR", "MERGED_REGIMEN_ID"


@dataclass(frozen=True)
class Figure:
    name: str
    count: int
    of: int


def read_tables(schema: Schema, folder: Path) -> dict[str, pl.DataFrame]:
    """The CSV tables of a clean source or an extract, typed as declared."""
    tables = {}
    for name, table in schema.tables.items():
        dates = [column for column, kind in table.columns.items() if kind.kind == "date"]
        types = {column: physical(kind) for column, kind in table.columns.items()}
        types |= dict.fromkeys(dates, pl.String())
        rows = pl.read_csv(
            folder / f"{table.file}.csv", schema_overrides=types, columns=list(table.columns)
        )
        tables[name] = rows.with_columns(pl.col(dates).str.to_date())
    return tables


def figures(tables: Tables) -> list[Figure]:
    """Every figure, in the order in which they are reported."""
    return [
        *_drugs(tables),
        *_operations(tables),
        *_certificates(tables),
        *_waits(tables),
        *_stages(tables),
        *_genes(tables),
        *_last_days(tables),
    ]


def _figure(name: str, rows: pl.DataFrame, is_meant: pl.Expr) -> Figure:
    return Figure(name, rows.filter(is_meant).height, rows.height)


def _days(since: str, until: str) -> pl.Expr:
    return (pl.col(until) - pl.col(since)).dt.total_days()


def _drugs(tables: Tables) -> Iterator[Figure]:
    cycles = tables["sim_sact_cycle"].sort(REGIMEN, "CYCLE_NUMBER")
    gaps = cycles.with_columns(
        pl.col("START_DATE_OF_CYCLE").diff().dt.total_days().over(REGIMEN).alias("gap")
    ).drop_nulls("gap")
    yield _figure(f"gaps between cycles above {LONG_GAP} days", gaps, pl.col("gap") > LONG_GAP)
    levels = cycles.with_columns(
        pl.col("PERF_STATUS_START_OF_CYCLE").cast(pl.Int32, strict=False).alias("level")
    ).filter(pl.col("level") <= 4)
    steps = levels.with_columns(pl.col("level").diff().over(REGIMEN).alias("step"))
    steps = steps.drop_nulls("step")
    yield _figure(
        f"performance status leaps by more than {LEAP}", steps, pl.col("step").abs() > LEAP
    )
    regimens = tables["sim_sact_regimen"].rename({"ENCORE_PATIENT_ID": "PATIENTID"})
    people = (
        tables["sim_av_tumour"]
        .group_by("PATIENTID")
        .agg(
            pl.col(SITE).is_in(["C50", "D05"]).all().alias("is_breast"),
            (pl.col("HER2_STATUS") == "P").any().fill_null(False).alias("is_positive"),
        )
    )
    against = regimens.filter(pl.col("MAPPED_REGIMEN").is_in(categories("regimens.her2"))).join(
        people.filter("is_breast"), on="PATIENTID"
    )
    yield _figure(
        "drugs against HER2 in breast cancer without HER2", against, ~pl.col("is_positive")
    )
    with_rays = regimens.filter(pl.col("MAPPED_REGIMEN").str.ends_with("+ RT"))
    rays = with_rays.join(tables["sim_rtds_episode"], on="PATIENTID").filter(
        _days("START_DATE_OF_REGIMEN", "APPTDATE").is_between(-14, LONG_GAP)
    )
    yield _figure(
        "regimens with radiotherapy without an attendance",
        with_rays,
        ~pl.col(REGIMEN).is_in(rays[REGIMEN].implode()),
    )


def _operations(tables: Tables) -> Iterator[Figure]:
    tumours = tables["sim_av_tumour"]
    surgery = tumours.drop_nulls("DATE_FIRST_SURGERY")
    days = _days("DIAGNOSISDATEBEST", "DATE_FIRST_SURGERY")
    yield _figure("first surgery above a year after diagnosis", surgery, days > LATE_SURGERY)
    groups = {code: site.group for code, site in tumour_sites.sites().items()}
    group = pl.col(SITE).replace_strict(groups, default=None, return_dtype=pl.String)
    blood = tumours.filter(group.is_in(BLOOD))
    yield _figure(
        "leukaemias, lymphomas and myelomas with surgery",
        blood,
        pl.col("DATE_FIRST_SURGERY").is_not_null(),
    )


def _certificates(tables: Tables) -> Iterator[Figure]:
    routes = tables["ext_route"].filter(pl.col("FINAL_ROUTE") == "DCO")
    tumours = tables["sim_av_tumour"].join(routes, on="TUMOURID", how="semi")
    treated = pl.concat(
        [
            tables["sim_sact_regimen"]["ENCORE_PATIENT_ID"],
            tables["sim_rtds_episode"]["PATIENTID"],
            tumours.drop_nulls("DATE_FIRST_SURGERY")["PATIENTID"],
        ]
    )
    dead = tables["sim_av_patient"].filter(pl.col("VITALSTATUS").str.starts_with("D"))
    is_treated = pl.col("PATIENTID").is_in(treated.implode())
    is_alive = ~pl.col("PATIENTID").is_in(dead["PATIENTID"].implode())
    yield _figure(
        "tumours known by death certificate only, treated or of the living",
        tumours,
        is_treated | is_alive,
    )


def _waits(tables: Tables) -> Iterator[Figure]:
    waiting = tables["ext_cwt_pathway"].drop_nulls(["CRTP_DATE", "DATE_FIRST_SEEN"])
    days = _days("CRTP_DATE", "DATE_FIRST_SEEN")
    yield _figure(
        f"first seen more than {LONG_WAIT} days after referral", waiting, days > LONG_WAIT
    )


def _stages(tables: Tables) -> Iterator[Figure]:
    spread = tables["sim_av_tumour"].filter(pl.col("M_BEST").str.starts_with("1"))
    is_four = pl.col("STAGE_BEST").str.starts_with("4").fill_null(False)
    yield _figure("M1 but not stage 4", spread, ~is_four)


def _genes(tables: Tables) -> Iterator[Figure]:
    borderline = tables["sim_av_gene"].filter(pl.col("OVERALL_TS") == "c:borderline")
    kinds = ("DNASEQ_GAT", "METHYL_GAT", "EXP_GAT", "COPYNO_GAT", "FUS_TRANS_GAT")
    has_kind = pl.any_horizontal(pl.col(kinds).str.contains("borderline").fill_null(False))
    yield _figure("borderline gene tests without a borderline kind", borderline, ~has_kind)


def _last_days(tables: Tables) -> Iterator[Figure]:
    tumours = tables["sim_av_tumour"]
    events = {
        "cycles": (tables["sim_sact_cycle"], "START_DATE_OF_CYCLE"),
        "regimens": (tables["sim_sact_regimen"], "START_DATE_OF_REGIMEN"),
        "operations": (tumours.drop_nulls("DATE_FIRST_SURGERY"), "DATE_FIRST_SURGERY"),
        "attendances": (tables["sim_rtds_episode"], "APPTDATE"),
    }
    for name, (rows, when) in events.items():
        is_last = (pl.lit(EXTRACT) - pl.col(when)).dt.total_days() < LAST_DAYS
        yield _figure(f"{name} in the last {LAST_DAYS} days before the extract", rows, is_last)


def report(columns: Mapping[str, list[Figure]]) -> str:
    """A Markdown table: a row per figure, a column per extract or source."""
    lines = ["| what | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row in zip(*columns.values(), strict=True):
        cells = " | ".join(f"{figure.count} of {figure.of}" for figure in row)
        lines.append(f"| {row[0].name} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--extract", type=Path, required=True, action="append")
    options = parser.parse_args()
    schema = read_declaration()
    columns = {
        str(folder): figures(read_tables(schema, folder))
        for folder in (options.source, *options.extract)
    }
    sys.stdout.write(report(columns))


if __name__ == "__main__":
    main()
