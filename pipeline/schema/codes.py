"""Public code lists of `datasets/codes/*.yaml` as immutable values.

The declaration, the grammar, the rules, the table rebuild and the simulator all read them here.

Each function reads its file once and keeps the answer. A mistake in a file is a Refusal that
names file and entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from pipeline.refusal import Refusal

CODES = Path(__file__).resolve().parents[2] / "datasets" / "codes"
BOTH_SEXES = ("1", "2")


@dataclass(frozen=True, kw_only=True)
class Site:
    """One three-character ICD-10 site and what is legal for it."""

    code: str  # "C50"
    name: str
    group: str  # one of `site_groups()`
    sexes: tuple[str, ...]  # GENDER codes
    # SITE_ICD10_O2 values; (code,) where ICD-10 has no fourth character
    codes4: tuple[str, ...]
    icdo3: str  # three-character ICD-O-3 topography
    # the whole code where the site has one; None: `icdo3` + fourth character (9 where there is
    # none)
    icdo3_code: str | None
    morphologies: tuple[str, ...]  # four digits
    behaviours: tuple[str, ...]
    staging: str  # tnm | ann_arbor_tnm | binet | iss | none
    stages: tuple[str, ...]  # legal known STAGE_BEST values
    unknown_stages: tuple[str, ...]
    stage_systems: tuple[str, ...]
    # fourth-character codes that may be staged (all but for Binet and ISS)
    staged_codes4: tuple[str, ...]
    paired: bool  # LATERALITY may be L, R or B
    screening: str | None  # first digit of SCREENINGSTATUSFULL_CODE, or None
    receptors: bool  # ER, PR, HER2 may be filled
    gleason: bool
    brachytherapy: bool
    # days after diagnosis within which a treatment counts: surgery, sact, radiotherapy
    windows: Mapping[str, int]
    first_treatment: str  # surgery | sact | radiotherapy
    min_age: int  # years

    def icdo3_of(self, code4: str) -> str:
        """The ICD-O-3 topography of one of `codes4`."""
        if self.icdo3_code:
            return self.icdo3_code
        return self.icdo3 + (code4[3:] or "9")


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


@dataclass(frozen=True, kw_only=True)
class GeneTest:
    group: str
    morphology: str | None  # only tumours of this morphology
    late_only: bool  # only stage 3 and 4
    tested: float  # in [0, 1]
    abnormal: float  # in [0, 1], of the tested


@dataclass(frozen=True, kw_only=True)
class Gene:
    symbol: str
    code: int  # GENE
    name: str  # GENE_DESC is the symbol, this is the dictionary's text
    kind: str  # result column
    variants: tuple[str, ...]
    tests: tuple[GeneTest, ...]


@cache
def lookups() -> Mapping[str, Mapping[str, str]]:
    """All small lists: name -> {code: description}."""
    lists = _read("lookups.yaml")["lists"]
    return MappingProxyType(
        {name: MappingProxyType(dict(entry["codes"])) for name, entry in lists.items()}
    )


def lookup(name: str) -> Mapping[str, str]:
    """One small list, {code: description}."""
    if name not in lookups():
        raise Refusal(
            f"datasets/codes/lookups.yaml has no list {name!r}; it has {', '.join(lookups())}"
        )
    return lookups()[name]


@cache
def comorbidity_weights() -> Mapping[str, int]:
    return MappingProxyType(dict(_read("lookups.yaml")["comorbidity_weights"]["weights"]))


def charlson_total(groups: tuple[str, ...] | list[str]) -> int:
    """Sum of the Charlson weights of `groups`, where 10 supersedes 09 and 17 supersedes 15 (NDRS
    27-03).
    """
    present = set(groups)
    for winner, loser in _read("lookups.yaml")["comorbidity_weights"]["supersedes"].items():
        if winner in present:
            present.discard(loser)
    return sum(comorbidity_weights()[group] for group in present)


@cache
def site_groups() -> tuple[str, ...]:
    return tuple(_read("sites.yaml")["groups"])


@cache
def sites() -> Mapping[str, Site]:
    """Three-character ICD-10 code -> Site."""
    raw = _read("sites.yaml")
    return MappingProxyType({code: _site(code, entry, raw) for code, entry in raw["sites"].items()})


@cache
def regimens() -> Mapping[str, Regimen]:
    """MAPPED_REGIMEN -> Regimen."""
    return MappingProxyType(
        {name: _regimen(name, entry) for name, entry in _read("regimens.yaml")["regimens"].items()}
    )


def not_chemotherapy() -> tuple[str, ...]:
    """Benchmark groups that NDRS does not count as chemotherapy."""
    return tuple(_read("regimens.yaml")["not_chemotherapy"])


def auc_to_mg() -> float:
    return float(_read("regimens.yaml")["auc_to_mg"])


def max_single_dose() -> Mapping[str, float]:
    return MappingProxyType(dict(_read("regimens.yaml")["max_single_dose"]))


@cache
def radiotherapy() -> Mapping[str, tuple[Schedule, ...]]:
    """Site group -> its legal schedules of all kinds (the palliative ones included)."""
    raw = _read("radiotherapy.yaml")
    answer = {}
    for group in site_groups():
        schedules: list[Schedule] = []
        for kind in ("curative", "brachytherapy", "palliative"):
            rows = raw[kind].get(group, raw[kind].get("any", []))
            schedules += [_schedule(kind, row, raw["regions"][kind]) for row in rows]
        answer[group] = tuple(schedules)
    return MappingProxyType(answer)


def max_dose_gy() -> float:
    return float(_read("radiotherapy.yaml")["max_dose_gy"])


@cache
def genes() -> Mapping[str, Gene]:
    """Gene symbol -> Gene."""
    raw = _read("genes.yaml")
    answer = {}
    for symbol, entry in raw["genes"].items():
        if entry["kind"] not in raw["kinds"]:
            raise Refusal(
                f"datasets/codes/genes.yaml, {symbol}: kind {entry['kind']!r} is not one of"
                f" {raw['kinds']}"
            )
        answer[symbol] = Gene(
            symbol=symbol,
            code=entry["code"],
            name=entry["name"],
            kind=entry["kind"],
            variants=tuple(entry.get("variants", ())),
            tests=tuple(_gene_test(test) for test in entry["tests"]),
        )
    return MappingProxyType(answer)


@cache
def _read(file: str) -> dict[str, Any]:
    raw = yaml.safe_load((CODES / file).read_text(encoding="utf-8"))
    if "source" not in raw:
        raise Refusal(f"datasets/codes/{file} has no `source:`")
    return dict(raw)


def _site(code: str, entry: dict[str, Any], raw: dict[str, Any]) -> Site:
    if entry["group"] not in raw["groups"]:
        raise Refusal(f"datasets/codes/sites.yaml, {code}: unknown group {entry['group']!r}")
    both = {**raw["groups"][entry["group"]], **entry}
    staging = raw["staging"][both.get("staging", "tnm")]
    codes4 = tuple(code + fourth for fourth in entry["fourth"]) or (code,)
    surgery, sact, radiotherapy = both.get("windows", (183, 183, 183))
    return Site(
        code=code,
        name=both["name"],
        group=both["group"],
        sexes=tuple(both.get("sexes", BOTH_SEXES)),
        codes4=codes4,
        icdo3=both.get("icdo3", code),
        icdo3_code=both.get("icdo3_code"),
        morphologies=tuple(both["morphologies"]),
        behaviours=tuple(both.get("behaviours", ("3",))),
        staging=both.get("staging", "tnm"),
        stages=tuple(both.get("stages", staging["stages"])),
        unknown_stages=tuple(raw["staging"]["unknown"]),
        stage_systems=tuple(both.get("systems", staging["systems"])),
        staged_codes4=tuple(staging.get("only_codes4", codes4)) if staging["stages"] else (),
        paired=bool(both.get("paired", False)),
        screening=both.get("screening"),
        receptors=bool(both.get("receptors", False)),
        gleason=bool(both.get("gleason", False)),
        brachytherapy=bool(both.get("brachytherapy", False)),
        windows=MappingProxyType({"surgery": surgery, "sact": sact, "radiotherapy": radiotherapy}),
        first_treatment=both.get("first_treatment", "surgery"),
        min_age=int(both.get("min_age", 0)),
    )


def _regimen(name: str, entry: dict[str, Any]) -> Regimen:
    for group in entry["share"]:
        if group not in site_groups():
            raise Refusal(f"datasets/codes/regimens.yaml, {name}: unknown site group {group!r}")
    total = sum(n for n, _ in entry["plan"])
    return Regimen(
        name=name,
        benchmark_group=entry["group"],
        share=MappingProxyType(dict(entry["share"])),
        sexes=tuple(entry.get("sexes", BOTH_SEXES)),
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


def _gene_test(row: list[Any]) -> GeneTest:
    group, condition, tested, abnormal = row
    parts = condition.split("&")
    morphology = next((part for part in parts if len(part) == 4 and part.isdigit()), None)
    return GeneTest(
        group=group,
        morphology=morphology,
        late_only="3-4" in parts,
        tested=tested / 100,
        abnormal=abnormal / 100,
    )
