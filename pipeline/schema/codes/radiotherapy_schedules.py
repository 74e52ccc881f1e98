"""The radiotherapy schedules of `datasets/codes/radiotherapy.yaml`: doses and fractions by site
group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from pipeline.schema.codes import lists

TELETHERAPY, BRACHYTHERAPY = "5", "6"  # z_rttreatmentmodality
PALLIATIVE = "palliative"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    dose: float  # Gy
    fractions: int
    share: float  # weight among the schedules of the kind and group
    kind: str  # curative | brachytherapy | palliative
    modality: str  # RTTREATMENTMODALITY
    regions: tuple[str, ...]
    years: tuple[int, int]  # first and last year of use


@cache
def schedules() -> Mapping[str, tuple[Schedule, ...]]:
    """Site group -> its legal schedules of all kinds (the palliative ones included)."""
    raw = lists.read("radiotherapy.yaml")
    answer = {}
    for group in lists.site_groups():
        of_group: list[Schedule] = []
        for kind in ("curative", "brachytherapy", "palliative"):
            rows = raw[kind].get(group, raw[kind].get("any", []))
            of_group += [_schedule(kind, row, raw["regions"][kind]) for row in rows]
        answer[group] = tuple(of_group)
    return MappingProxyType(answer)


@cache
def primary_anatomical_sites() -> Mapping[str, str]:
    """Site group -> RTTREATMENTANATOMICALSITE of radiotherapy at the primary."""
    return MappingProxyType(dict(lists.read("radiotherapy.yaml")["anatomical_sites"]["primary"]))


def metastatic_anatomical_sites() -> tuple[str, ...]:
    """RTTREATMENTANATOMICALSITE of radiotherapy at a metastasis."""
    return tuple(lists.read("radiotherapy.yaml")["anatomical_sites"]["metastasis"])


def max_dose_gy() -> float:
    return float(lists.read("radiotherapy.yaml")["max_dose_gy"])


def _schedule(kind: str, row: list[Any], regions: list[str]) -> Schedule:
    years = (row[3], row[4]) if len(row) > 3 else (1990, 2099)
    return Schedule(
        dose=float(row[0]),
        fractions=row[1],
        share=float(row[2]),
        kind=kind,
        modality=BRACHYTHERAPY if kind == "brachytherapy" else TELETHERAPY,
        regions=tuple(regions),
        years=years,
    )
