"""The radiotherapy schedules of `datasets/codes/radiotherapy.yaml`: doses and fractions by site
group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from pipeline.schema.codes import lists


@dataclass(frozen=True, kw_only=True)
class Schedule:
    dose: float  # Gy
    fractions: int
    share: float  # weight among the schedules of the kind and group
    kind: str  # curative | brachytherapy | palliative
    intent: str  # RADIOTHERAPYINTENT
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


def max_dose_gy() -> float:
    return float(lists.read("radiotherapy.yaml")["max_dose_gy"])


def _schedule(kind: str, row: list[Any], regions: list[str]) -> Schedule:
    years = (row[3], row[4]) if len(row) > 3 else (1990, 2099)
    return Schedule(
        dose=float(row[0]),
        fractions=row[1],
        share=float(row[2]),
        kind=kind,
        intent="01" if kind == "palliative" else "02",
        modality="06" if kind == "brachytherapy" else "05",
        regions=tuple(regions),
        years=years,
    )
