"""Small public tables of codes that both directions read."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.adapters.simulacrum.names import SITE
from pipeline.schema.code_relations import (
    legal_schedules,
    relation,
    schedule_name,
    stage_group,
)
from pipeline.schema.codes import tumour_sites


@cache
def schedules() -> pl.DataFrame:
    """Legal radiotherapy schedules: SITE, code, dose (Gy), fractions, modality, kind; one row per
    site and code.
    """
    rows = [
        (site.code, schedule_name(s.dose, s.fractions), s.dose, s.fractions, s.modality, s.kind)
        for site in tumour_sites.sites().values()
        for s in legal_schedules(site)
    ]
    frame = pl.DataFrame(
        rows,
        schema={
            SITE: pl.String,
            "code": pl.String,
            "dose": pl.Float64,
            "fractions": pl.Int64,
            "modality": pl.String,
            "kind": pl.String,
        },
        orient="row",
    )
    return frame.unique([SITE, "code"], keep="first", maintain_order=True)


@cache
def sites() -> pl.DataFrame:
    """One row per site: its codes of four characters (staged or not), ICD-O-3 topographies, first
    behaviour, staging systems, screening status.
    """
    rows = []
    for site in tumour_sites.sites().values():
        plain, staged = _fourth(site.codes4), _fourth(site.staged_codes4 or site.codes4)
        systems = site.stage_systems
        rows.append(
            (
                site.code,
                plain,
                staged,
                site.icdo3,
                site.icdo3_of(plain),
                site.icdo3_of(staged),
                site.behaviours[0],
                next(iter(systems), None),
                (
                    "UICC 8"
                    if "UICC 8" in systems and systems[0].startswith("UICC")
                    else next(iter(systems), None)
                ),
                f"{site.screening}001" if site.screening else None,
                site.morphologies[0],
                site.paired,
            )
        )
    names = (
        SITE,
        "code4",
        "code4_staged",
        "icdo3_3",
        "icdo3",
        "icdo3_staged",
        "behaviour",
        "system",
        "system_2018",
        "screened",
        "morphology",
        "paired",
    )
    return pl.DataFrame(
        rows,
        schema={name: pl.Boolean if name == "paired" else pl.String for name in names},
        orient="row",
    )


def _fourth(legal: tuple[str, ...]) -> str:
    return next((code for code in legal if code.endswith("9") and len(code) == 4), legal[0])


@cache
def main_stages() -> pl.DataFrame:
    """SITE, stage_group, stage: the stage that stands for a group at a site. A group that the site
    has not is not listed.
    """
    rows = []
    for site, groups in relation("sites.stage_groups").items():
        for group in groups:
            legal = [
                stage
                for stage in relation("sites.stages")[site]
                if stage is not None and stage_group(stage) == group
            ]
            rows.append(
                (site, group, "?" if group == "unknown" else group if group in legal else legal[0])
            )
    return pl.DataFrame(
        rows, schema={SITE: pl.String, "stage_group": pl.String, "stage": pl.String}, orient="row"
    )
