"""What the public code lists say about one another: the names that a declaration may use in
`categories_from` and `allowed_from`.

Everything here is derived from datasets/codes/ (pipeline/schema/codes/); nothing is learned from
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType

from pipeline.schema.codes import (
    drug_regimens,
    gene_panel,
    lists,
    radiotherapy_schedules,
    tumour_sites,
)

Relation = Mapping[str, tuple[str | None, ...]]

STAGE_GROUPS = ("0", "1", "2", "3", "4", "binet", "unknown")
SCREEN_ROUTE = "Screen detected"
# What a referral can be, given the route to diagnosis (NCRAS Routes to Diagnosis; cancer waiting
# times referral types). DCO has none.
REFERRALS = {
    "Screen detected": ("screening",),
    "TWW": ("TWW",),
    "GP referral": ("other", "consultant upgrade"),
    "Other outpatient": ("other", "consultant upgrade"),
    "Inpatient elective": ("other", "consultant upgrade"),
    "Emergency presentation": ("other", "consultant upgrade"),
    "Unknown": ("TWW", "screening", "consultant upgrade", "other"),
}
BLADDER = "Bladder"  # a site group
IN_SITU_T, NO_NODES = ("is", "a", "0", "X", None), ("0", "X", None)
INVASIVE_T = ("0", "is", "1", "2", "3", "4", "X", None)
HER2_DRUGS = ("TRASTUZUMAB", "PERTUZUMAB", "LAPATINIB")  # NICE TA34, TA257, TA424, TA458
M0, M1 = ("0", "X", None), ("1", None)


def stage_group(stage: str | None) -> str:
    """The group of one STAGE_BEST value: its number, `binet`, or `unknown`."""
    if stage is None:
        return "unknown"
    if stage[0] in "01234":
        return stage[0]
    return "binet" if stage in ("A", "B", "C") else "unknown"


def schedule_name(dose: float, fractions: int) -> str:
    """How a radiotherapy schedule is written as an event code: "40/15" is 40 Gy in 15 fractions."""
    return f"{dose:g}/{fractions}"


@cache
def categories(name: str) -> tuple[str, ...]:
    """The codes of the list `name`. Raises KeyError for an unknown name."""
    if name in _CATEGORIES:
        return _unique(_CATEGORIES[name]())
    return tuple(lists.lookups()[name])


@cache
def relation(name: str) -> Relation:
    """For each listed value of one list, the values of another that are legal with it; None is
    missing. Raises KeyError for an unknown name.
    """
    return MappingProxyType(dict(_RELATIONS[name]()))


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _by_site(
    legal: Callable[[tumour_sites.Site], tuple[str | None, ...] | None],
) -> dict[str, tuple[str | None, ...]]:
    """`legal` for every site; a site for which it answers None is not listed."""
    values_by_site = {code: legal(site) for code, site in tumour_sites.sites().items()}
    return {code: values for code, values in values_by_site.items() if values is not None}


def _stages(site: tumour_sites.Site) -> tuple[str | None, ...]:
    return (*site.stages, *site.unknown_stages, None)


def legal_schedules(site: tumour_sites.Site) -> tuple[radiotherapy_schedules.Schedule, ...]:
    """The schedules of the site's group; brachytherapy only where the site has it."""
    return tuple(
        s
        for s in radiotherapy_schedules.schedules()[site.group]
        if s.modality != radiotherapy_schedules.BRACHYTHERAPY or site.brachytherapy
    )


def _schedules(site: tumour_sites.Site) -> tuple[str, ...]:
    return _unique(schedule_name(s.dose, s.fractions) for s in legal_schedules(site))


def _regimens(site: tumour_sites.Site) -> tuple[str, ...]:
    return tuple(
        name
        for name, regimen in drug_regimens.regimens().items()
        if site.group in regimen.share and set(site.sexes) <= set(regimen.sexes)
    )


def _her2_regimens() -> tuple[str, ...]:
    """Regimens with a drug against HER2, which is licensed for HER2-positive tumours only."""
    return tuple(
        name
        for name, regimen in drug_regimens.regimens().items()
        if any(drug.name.split()[0] in HER2_DRUGS for drug in regimen.drugs)
    )


def _genes(site: tumour_sites.Site) -> tuple[str, ...]:
    return tuple(
        symbol
        for symbol, gene in gene_panel.genes().items()
        if any(test.group == site.group for test in gene.tests)
    )


def _routes(group: str) -> tuple[str | None, ...]:
    screened = any(site.screening for site in tumour_sites.sites().values() if site.group == group)
    return (
        *(route for route in lists.lookup("final_route") if screened or route != SCREEN_ROUTE),
        None,
    )


def _has_tnm(site: tumour_sites.Site) -> bool:
    return site.staging not in ("binet", "iss", "none", "ann_arbor_tnm")


def _t_categories(site: tumour_sites.Site) -> tuple[str | None, ...] | None:
    """In situ: none, Tis and Ta. Ta is a tumour of the bladder; elsewhere T is free without it."""
    if site.in_situ:
        return IN_SITU_T
    return None if site.group == BLADDER else INVASIVE_T


def _all_stages() -> Iterable[str]:
    return (
        stage
        for site in tumour_sites.sites().values()
        for stage in (*site.stages, *site.unknown_stages)
    )


def _stages_by_group() -> dict[str, tuple[str | None, ...]]:
    stages = (*categories("stages"), None)
    return {
        group: tuple(stage for stage in stages if stage_group(stage) == group)
        for group in STAGE_GROUPS
    }


_CATEGORIES: Mapping[str, Callable[[], Iterable[str]]] = {
    "site_groups": lists.site_groups,
    "sites": lambda: tumour_sites.sites(),
    "sites.codes4": lambda: (
        code for site in tumour_sites.sites().values() for code in site.codes4
    ),
    "sites.icdo3": lambda: (site.icdo3 for site in tumour_sites.sites().values()),
    "sites.icdo3_codes": lambda: (
        site.icdo3_of(code) for site in tumour_sites.sites().values() for code in site.codes4
    ),
    "morphologies": lambda: sorted(
        {morphology for site in tumour_sites.sites().values() for morphology in site.morphologies}
    ),
    "stages": lambda: sorted(
        set(_all_stages()), key=lambda stage: (STAGE_GROUPS.index(stage_group(stage)), stage)
    ),
    "stage_groups": lambda: STAGE_GROUPS,
    "regimens": lambda: drug_regimens.regimens(),
    "regimens.her2": _her2_regimens,
    "benchmark_groups": lambda: (
        regimen.benchmark_group for regimen in drug_regimens.regimens().values()
    ),
    "drugs": lambda: (
        drug.name for regimen in drug_regimens.regimens().values() for drug in regimen.drugs
    ),
    "genes": lambda: gene_panel.genes(),
    "gene_descriptions": lambda: lists.lookup("gene").values(),
    "gene_numbers": lambda: (str(gene.code) for gene in gene_panel.genes().values()),
    "schedules": lambda: (
        name for site in tumour_sites.sites().values() for name in _schedules(site)
    ),
}

_RELATIONS: Mapping[str, Callable[[], Mapping[str, tuple[str | None, ...]]]] = {
    "site_groups.sites": lambda: {
        g: tuple(c for c, s in tumour_sites.sites().items() if s.group == g)
        for g in lists.site_groups()
    },
    "site_groups.routes": lambda: {group: _routes(group) for group in lists.site_groups()},
    "sites.sexes": lambda: _by_site(lambda site: site.sexes),
    "sexes.sites": lambda: {
        sex: tuple(c for c, s in tumour_sites.sites().items() if sex in s.sexes)
        for sex in lists.BOTH_SEXES
    },
    "sites.morphologies": lambda: _by_site(lambda site: site.morphologies),
    "sites.stages": lambda: _by_site(_stages),
    "sites.stage_groups": lambda: _by_site(
        lambda site: _unique(stage_group(stage) for stage in _stages(site))
    ),
    "stage_groups.stages": _stages_by_group,
    "sites.tnm": lambda: _by_site(lambda site: None if _has_tnm(site) else (None,)),
    "sites.t": lambda: _by_site(_t_categories),
    "sites.n": lambda: _by_site(lambda site: NO_NODES if site.in_situ else None),
    "stages.m": lambda: {  # of declarations that older releases carry
        stage: M1 if stage_group(stage) == "4" else M0
        for stage in categories("stages")
        if stage_group(stage) in "01234"
    },
    "stage_groups.m": lambda: {group: M1 if group == "4" else M0 for group in STAGE_GROUPS},
    "sites.lateralities": lambda: _by_site(lambda site: None if site.paired else ("9", "M")),
    "sites.receptors": lambda: _by_site(lambda site: None if site.receptors else (None,)),
    "sites.gleason": lambda: _by_site(lambda site: None if site.gleason else (None,)),
    "sites.regimens": lambda: _by_site(_regimens),
    "sites.schedules": lambda: _by_site(_schedules),
    "sites.genes": lambda: _by_site(lambda site: _genes(site) or None),
    "routes.referrals": lambda: REFERRALS,
}
