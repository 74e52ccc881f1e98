"""Clinical rules 19 to 29: sex, site, age and stage of tumours."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, share
from pipeline.checks.rules.registry import (
    PATIENT,
    SITE,
    SITE4,
    TUMOUR,
    Registry,
    is_dead,
    number,
    text,
)
from pipeline.schema.codes import lists, tumour_sites
from pipeline.schema.patient_log import ID

DAYS_PER_YEAR = 365.25
FEMALE_SITES = r"^(C5[1-8]|D06|O01)"  # NDRS treatment flags: sites excluded for the other sex
FEMALE_SITES4 = r"^D39[01]"
MALE_SITES = r"^C6[0-3]"
HEAD_AND_NECK = r"^C(0\d|1[0-4]|3[0-2])"
NOT_STAGED_BY_TNM = r"^C(71|7[789]|80|9[1-5])"
GYNAECOLOGICAL = r"^C5[1-8]"
# site: age below, age above
IMPLAUSIBLE = {"C61": (35, None), "C54": (20, None), "C62": (None, 85), "C34": (20, None)}


def same_sex(registry: Registry, context: RuleContext) -> Finding:
    sexes = registry[PATIENT].select(ID, text("GENDER").alias("sex")).unique(ID)
    rows = registry[TUMOUR].join(sexes, on=ID, how="left")
    has_sex = text("GENDER").is_in(lists.BOTH_SEXES).fill_null(False)
    return rows_where(
        rows, ~has_sex | (pl.col("sex").is_not_null() & (text("GENDER") != pl.col("sex")))
    )


def site_fits_sex(registry: Registry, context: RuleContext) -> Finding:
    female = text(SITE).str.contains(FEMALE_SITES) | text(SITE4).str.contains(
        FEMALE_SITES4
    ).fill_null(False)
    male = text(SITE).str.contains(MALE_SITES)
    return rows_where(
        registry[TUMOUR], ((text("GENDER") == "1") & female) | ((text("GENDER") == "2") & male)
    )


def male_breast(registry: Registry, context: RuleContext) -> Finding:
    breast = registry[TUMOUR].filter(text(SITE) == "C50")
    return share(breast.filter(text("GENDER") == "1").height, breast.height)


def site_codes_agree(registry: Registry, context: RuleContext) -> Finding:
    return rows_where(registry[TUMOUR], ~text(SITE4).str.starts_with(text(SITE)))


def site_versions_agree(registry: Registry, context: RuleContext) -> Finding:
    """The 2010 revision has the same three characters; ICD-O-3 has those that
    datasets/codes/sites.yaml maps to.
    """
    rows = registry[TUMOUR].join(_site_frame(), left_on=text(SITE), right_on="site", how="left")
    wrong = pl.lit(False)
    for column, expected in (
        ("SITE_ICD10R4_O2_3CHAR_FROM2013", text(SITE)),
        ("SITE_ICDO3REV2011_3CHAR", pl.col("icdo3")),
    ):
        if column in rows.columns:
            wrong = wrong | (text(column) != expected).fill_null(False)
    for long, short in (
        ("SITE_ICD10R4_O2_FROM2013", "SITE_ICD10R4_O2_3CHAR_FROM2013"),
        ("SITE_ICDO3REV2011", "SITE_ICDO3REV2011_3CHAR"),
    ):
        if long in rows.columns and short in rows.columns:
            wrong = wrong | (~text(long).str.starts_with(text(short))).fill_null(False)
    return rows_where(rows, wrong)


@cache
def _site_frame() -> pl.DataFrame:
    sites = tumour_sites.sites().values()
    return pl.DataFrame(
        {"site": [s.code for s in sites], "icdo3": [s.icdo3_of(s.codes4[0])[:3] for s in sites]}
    )


def ages(registry: Registry, context: RuleContext) -> Finding:
    vital = registry[PATIENT].select(ID, "VITALSTATUS", "VITALSTATUSDATE").unique(ID)
    rows = registry[TUMOUR].join(vital, on=ID, how="left")
    age = number("AGE")
    elapsed = (
        pl.col("VITALSTATUSDATE") - pl.col("DIAGNOSISDATEBEST")
    ).dt.total_days() / DAYS_PER_YEAR
    no_integer = age.is_null() | (age != age.floor()) | ~age.is_between(0, 105)
    return rows_where(rows, no_integer | (is_dead() & (age + elapsed > 110)).fill_null(False))


def ages_move_with_time(registry: Registry, context: RuleContext) -> Finding:
    """Each tumour of a patient against the first: the ages differ by the years between the
    diagnoses, give or take one.
    """
    first = pl.col("DIAGNOSISDATEBEST").arg_min()
    rows = (
        registry[TUMOUR]
        .select(ID, "DIAGNOSISDATEBEST", number("AGE").alias("age"))
        .with_columns(
            pl.col("age").get(first).over(ID).alias("first_age"),
            pl.col("DIAGNOSISDATEBEST").min().over(ID).alias("first_day"),
        )
    )
    years = (pl.col("DIAGNOSISDATEBEST") - pl.col("first_day")).dt.total_days() / DAYS_PER_YEAR
    aged = pl.col("age") - pl.col("first_age")
    return rows_where(rows, ~aged.is_between(years.floor() - 1, years.ceil() + 1))


def implausible_ages(registry: Registry, context: RuleContext) -> Finding:
    """The largest share of implausible ages among the four sites that the rule names."""
    rows = registry[TUMOUR].select(text(SITE).alias("site"), number("AGE").alias("age"))
    worst, checked = 0.0, 0
    for site, (below, above) in IMPLAUSIBLE.items():
        at_site = rows.filter(pl.col("site") == site)
        odd = at_site.filter(
            (pl.col("age") < below) if below is not None else (pl.col("age") > above)
        )
        checked += at_site.height
        worst = max(worst, odd.height / at_site.height if at_site.height else 0.0)
    return Finding(None, checked, worst)


def is_unknown_stage() -> pl.Expr:
    unknown = next(iter(tumour_sites.sites().values())).unknown_stages
    return text("STAGE_BEST").is_null() | text("STAGE_BEST").is_in(unknown)


def stage_fits_site(registry: Registry, context: RuleContext) -> Finding:
    """By family of sites: TNM and Ann Arbor 0 to 4 with their letters; CLL A to C; myeloma 1 to 3;
    brain, unknown primary, leukaemia none.
    """
    stage, site, site4 = text("STAGE_BEST"), text(SITE), text(SITE4)
    is_code = stage.is_in(list(lists.lookup("stage")))
    legal = (
        pl.when(site == "C90")
        .then(stage.is_in(["1", "2", "3"]))
        .when(site == "C91")
        .then(stage.is_in(["A", "B", "C"]) & (site4 == "C911").fill_null(True))
        .when(site.str.contains(NOT_STAGED_BY_TNM))
        .then(pl.lit(False))
        .otherwise(stage.str.contains("^[0-4]") & is_code)
    )
    return rows_where(registry[TUMOUR], ~is_unknown_stage() & ~legal)


def stage_system_fits_site(registry: Registry, context: RuleContext) -> Finding:
    system, site = text("STAGE_BEST_SYSTEM"), text(SITE)
    binet = (system == "Binet") & ~((site == "C91") & (text(SITE4) == "C911").fill_null(True))
    figo = system.str.starts_with("FIGO") & ~site.str.contains(GYNAECOLOGICAL)
    return rows_where(registry[TUMOUR], binet | ((system == "ISS") & (site != "C90")) | figo)


def stage_system_is_given(registry: Registry, context: RuleContext) -> Finding:
    return rows_where(registry[TUMOUR], text("STAGE_BEST_SYSTEM").is_null() != is_unknown_stage())


def stage_fits_metastasis(registry: Registry, context: RuleContext) -> Finding:
    """Stage 4 without metastasis is legal in head and neck and in the thyroid only. MX and a
    missing M say nothing.
    """
    stage, distant, site = text("STAGE_BEST"), text("M_BEST"), text(SITE)
    fourth = (
        stage.str.starts_with("4")
        & (distant == "0")
        & ~site.str.contains(HEAD_AND_NECK)
        & (site != "C73")
    )
    earlier = stage.str.contains("^[123]") & distant.str.starts_with("1") & (site != "C90")
    return rows_where(registry[TUMOUR], fourth | earlier)


def in_situ_is_stage_0(registry: Registry, context: RuleContext) -> Finding:
    has_both = ~is_unknown_stage() & text("BEHAVIOUR_ICD10_O2").is_not_null()
    return rows_where(
        registry[TUMOUR],
        has_both & (text("STAGE_BEST").str.starts_with("0") != (text("BEHAVIOUR_ICD10_O2") == "2")),
    )


STAGED = {TUMOUR: ["STAGE_BEST", SITE, SITE4]}
RULES = (
    Rule(
        number=19,
        title="A tumour's sex is its patient's, male or female",
        severity="F",
        check=same_sex,
        reads={TUMOUR: ["GENDER"], PATIENT: ["GENDER"]},
    ),
    Rule(
        number=20,
        title="Sites of one sex only",
        severity="F",
        check=site_fits_sex,
        reads={TUMOUR: ["GENDER", SITE, SITE4]},
    ),
    Rule(
        number=21,
        title="Men among breast cancers",
        severity="W",
        scope="rate",
        bounds=(0.004, 0.015),
        check=male_breast,
        reads={TUMOUR: ["GENDER", SITE]},
    ),
    Rule(
        number=22,
        part="a",
        title="The four-character site belongs to the three-character one",
        severity="F",
        check=site_codes_agree,
        reads={TUMOUR: [SITE, SITE4]},
    ),
    Rule(
        number=22,
        part="b",
        title="Later versions of the site agree with it",
        severity="W",
        bounds=(None, 0.01),
        check=site_versions_agree,
        reads={TUMOUR: [SITE]},
    ),
    Rule(
        number=23,
        title="Age is 0 to 105, and at death at most 110",
        severity="F",
        check=ages,
        reads={TUMOUR: ["AGE", "DIAGNOSISDATEBEST"], PATIENT: ["VITALSTATUS", "VITALSTATUSDATE"]},
    ),
    Rule(
        number=24,
        title="Ages at two diagnoses differ by the years between them",
        severity="F",
        check=ages_move_with_time,
        reads={TUMOUR: ["AGE", "DIAGNOSISDATEBEST"]},
    ),
    Rule(
        number=25,
        title="Implausible ages at prostate, uterus, testis and lung",
        severity="W",
        scope="rate",
        bounds=(None, 0.001),
        of_everybody=True,
        check=implausible_ages,
        reads={TUMOUR: ["AGE", SITE]},
    ),
    Rule(
        number=26,
        title="The stage is one that the site can have",
        severity="F",
        check=stage_fits_site,
        reads=STAGED,
    ),
    Rule(
        number=27,
        part="a",
        title="The staging system is one of the site's",
        severity="F",
        check=stage_system_fits_site,
        reads={TUMOUR: ["STAGE_BEST_SYSTEM", SITE, SITE4]},
    ),
    Rule(
        number=27,
        part="b",
        title="A known stage has a staging system, an unknown one none",
        severity="W",
        bounds=(None, 0.05),
        check=stage_system_is_given,
        reads={TUMOUR: ["STAGE_BEST_SYSTEM", "STAGE_BEST"]},
    ),
    Rule(
        number=28,
        title="Stage 4 and only stage 4 has distant metastasis",
        severity="F",
        check=stage_fits_metastasis,
        reads={TUMOUR: ["STAGE_BEST", "M_BEST", SITE]},
    ),
    Rule(
        number=29,
        title="Stage 0 is in situ",
        severity="W",
        bounds=(None, 0.01),
        check=in_situ_is_stage_0,
        reads={TUMOUR: ["STAGE_BEST", "BEHAVIOUR_ICD10_O2"]},
    ),
)
