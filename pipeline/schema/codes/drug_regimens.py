"""The drug regimens of `datasets/codes/regimens.yaml`, each with its plan and its drugs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from pipeline.refusal import Refusal
from pipeline.schema.codes import lists


@dataclass(frozen=True, kw_only=True)
class Drug:
    name: str  # DRUG_GROUP
    dose: float
    unit: str  # mg_m2 | mg | mg_kg | auc | iu | iu_m2
    route: str  # ADMINISTRATION_ROUTE
    days: tuple[int, ...]  # days of the cycle, from 1
    first_cycle: int
    last_cycle: int


@dataclass(frozen=True, kw_only=True)
class Regimen:
    name: str  # MAPPED_REGIMEN
    benchmark_group: str
    # site group -> weight among the regimens of the group; the keys are the legal groups
    share: Mapping[str, float]
    sexes: tuple[str, ...]
    intents: tuple[str, ...]
    plan: tuple[tuple[int, int], ...]  # (cycles, days between cycles) in order
    drugs: tuple[Drug, ...]
    chemo_radiation: bool
    maintenance: bool  # hormones and maintenance: may overlap another regimen

    @property
    def cycles(self) -> int:
        return sum(n for n, _ in self.plan)

    @property
    def cycle_days(self) -> tuple[int, ...]:
        """Planned days from each cycle's start to the next, one per cycle."""
        return tuple(days for n, days in self.plan for _ in range(n))


@cache
def regimens() -> Mapping[str, Regimen]:
    """MAPPED_REGIMEN -> Regimen."""
    return MappingProxyType(
        {
            name: _regimen(name, entry)
            for name, entry in lists.read("regimens.yaml")["regimens"].items()
        }
    )


@cache
def procurement_codes() -> Mapping[str, str]:
    """MAPPED_REGIMEN -> OPCS_PROCUREMENT_CODE. The bands of the tariff are this project's choice:
    they go round the regimens in their order.
    """
    bands = list(lists.lookup("opcs_procurement"))
    return MappingProxyType(
        {name: bands[place % len(bands)] for place, name in enumerate(regimens())}
    )


def not_chemotherapy() -> tuple[str, ...]:
    """Benchmark groups that NDRS does not count as chemotherapy."""
    return tuple(lists.read("regimens.yaml")["not_chemotherapy"])


def auc_to_mg() -> float:
    return float(lists.read("regimens.yaml")["auc_to_mg"])


def max_single_dose() -> Mapping[str, float]:
    return MappingProxyType(dict(lists.read("regimens.yaml")["max_single_dose"]))


def _regimen(name: str, entry: dict[str, Any]) -> Regimen:
    for group in entry["share"]:
        if group not in lists.site_groups():
            raise Refusal(f"datasets/codes/regimens.yaml, {name}: unknown site group {group!r}")
    total = sum(n for n, _ in entry["plan"])
    return Regimen(
        name=name,
        benchmark_group=entry["group"],
        share=MappingProxyType(dict(entry["share"])),
        sexes=tuple(entry.get("sexes", lists.BOTH_SEXES)),
        intents=tuple(entry["intents"]),
        plan=tuple((n, days) for n, days in entry["plan"]),
        drugs=tuple(_drug(drug, total) for drug in entry["drugs"]),
        chemo_radiation=bool(entry.get("chemo_radiation", False)),
        maintenance=bool(entry.get("maintenance", False)),
    )


def _drug(entry: list[Any], cycles: int) -> Drug:
    defaults: list[Any] = [None, None, "mg_m2", 1, [1], 1, cycles]
    name, dose, unit, route, days, first, last = entry + defaults[len(entry) :]
    return Drug(
        name=name,
        dose=float(dose),
        unit=unit,
        route=str(route),
        days=tuple(days),
        first_cycle=first,
        last_cycle=last,
    )
