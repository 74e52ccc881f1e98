"""Clinical rules 30 to 35: what a tumour's coded columns may say, given its site."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where, together
from pipeline.checks.rules.registry import PATIENT, SITE, TUMOUR, Registry, number, text
from pipeline.schema.codes import lists, tumour_sites

RECEPTORS = ("ER_STATUS", "PR_STATUS", "HER2_STATUS")
GLEASON = ("GLEASON_PRIMARY", "GLEASON_SECONDARY", "GLEASON_COMBINED")
# first digit of the screening code: sites
SCREENED_SITES = {"5": r"^(C53|D06)", "6": r"^(C50|D05)", "7": r"^C(18|19|20)"}
CODED = {
    "GRADE": "grade",
    "LATERALITY": "laterality",
    "PERFORMANCESTATUS": "performance_status",
    "CANCERCAREPLANINTENT": "careplan_intent",
    "QUINTILE_2019": "quintile_2019",
    "CREG_CODE": "creg",
}
PAIRED = r"^(C50|C34|C64|C56|C62|C69|C43)"  # named by the rule; sites.yaml has more


def columns_of_their_sites(registry: Registry, context: RuleContext) -> Finding:
    rows, site = registry[TUMOUR], text(SITE)
    wrong = pl.lit(False)
    for columns, sites in ((RECEPTORS, r"^(C50|D05)"), ((*GLEASON, "GLEASON_TERTIARY"), "^C61")):
        for column in columns:
            if column in rows.columns:
                wrong = wrong | (pl.col(column).is_not_null() & ~site.str.contains(sites))
    if "SCREENINGSTATUSFULL_CODE" in rows.columns:
        for digit, sites in SCREENED_SITES.items():
            wrong = wrong | text("SCREENINGSTATUSFULL_CODE").str.contains(
                rf"^{digit}\d{{3}}$"
            ).fill_null(False) & ~site.str.contains(sites)
    return rows_where(rows, wrong)


def gleason_sums(registry: Registry, context: RuleContext) -> Finding:
    first, second, combined = (number(column) for column in GLEASON)
    unequal = (first + second != combined).fill_null(False)
    outside = [(~number(column).is_between(1, 5)).fill_null(False) for column in GLEASON[:2]]
    return rows_where(
        registry[TUMOUR],
        unequal | outside[0] | outside[1] | (~combined.is_between(2, 10)).fill_null(False),
    )


def morphology_fits_site(registry: Registry, context: RuleContext) -> Finding:
    """Four digits of the code list that the site can have, in both versions; a site without a list
    takes any of the code list.
    """
    rows = registry[TUMOUR]
    wrong = pl.lit(False)
    morphologies = sorted(
        {morphology for site in tumour_sites.sites().values() for morphology in site.morphologies}
    )
    for column in ("MORPH_ICD10_O2", "MORPH_ICDO3REV2011"):
        if column in rows.columns:
            wrong = wrong | (
                ~text(column).str.contains(r"^\d{4}$") | ~text(column).is_in(morphologies)
            ).fill_null(False)
    for column in ("BEHAVIOUR_ICD10_O2", "BEHAVIOUR_ICDO3REV2011"):
        if column in rows.columns:
            wrong = wrong | (~text(column).is_in(list(lists.lookup("behaviour")))).fill_null(False)
    pairs = _legal_morphologies()
    foreign = rows.filter(
        text(SITE).is_in(pairs["site"].unique().to_list()) & pl.col("MORPH_ICD10_O2").is_not_null()
    ).join(
        pairs,
        left_on=[text(SITE), text("MORPH_ICD10_O2")],
        right_on=["site", "morphology"],
        how="anti",
    )
    finding = rows_where(rows, wrong)
    return Finding(together(finding, Finding(foreign, 0)).failing, rows.height)


@cache
def _legal_morphologies() -> pl.DataFrame:
    pairs = [
        (site.code, morphology)
        for site in tumour_sites.sites().values()
        for morphology in site.morphologies
    ]
    return pl.DataFrame(pairs, schema=["site", "morphology"], orient="row")


def coded_columns(registry: Registry, context: RuleContext) -> Finding:
    rows = registry[TUMOUR]
    wrong = pl.lit(False)
    for column, code_list in CODED.items():
        if column in rows.columns:
            wrong = wrong | (~text(column).is_in(list(lists.lookup(code_list)))).fill_null(False)
    findings = [rows_where(rows, wrong)]
    # a local two-character code starts with the letter of its group
    if registry.has(PATIENT, ["ETHNICITY"]):
        letters = "".join(sorted(lists.lookup("ethnicity")))
        findings.append(
            rows_where(
                registry[PATIENT], ~text("ETHNICITY").str.contains(rf"^[{letters}][A-Z0-9]?$")
            )
        )
    return together(*findings)


def sides_of_paired_organs(registry: Registry, context: RuleContext) -> Finding:
    paired = text(SITE).str.contains(PAIRED) | text(SITE).is_in(
        [site.code for site in tumour_sites.sites().values() if site.paired]
    )
    return rows_where(registry[TUMOUR], text("LATERALITY").is_in(["L", "R", "B"]) & ~paired)


def charlson_totals(registry: Registry, context: RuleContext) -> Finding:
    """The total is the weighted sum of the listed groups; without a list it is 0 or missing."""
    rows = registry[TUMOUR].with_columns(text("COMORBIDITIES_27_03").fill_null("").alias("groups"))
    groups = rows["groups"].unique().to_list()
    totals = pl.DataFrame(
        {"groups": groups, "total": [_charlson(text) for text in groups]},
        schema={"groups": pl.String, "total": pl.Int64},
    )
    rows = rows.join(totals, on="groups", how="left")
    unknown = pl.col("total").is_null()
    return rows_where(rows, unknown | (number("CHRL_TOT_27_03").fill_null(0) != pl.col("total")))


def _charlson(comma_separated: str) -> int | None:
    """The total of comma-separated groups; None where one is not in the code list."""
    groups = [group.strip() for group in comma_separated.split(",") if group.strip()]
    return lists.charlson_total(groups) if set(groups) <= set(lists.comorbidity_weights()) else None


RULES = (
    Rule(
        number=30,
        title="Receptors, Gleason scores and screening codes only at their sites",
        severity="F",
        check=columns_of_their_sites,
        reads={TUMOUR: [SITE]},
    ),
    Rule(
        number=31,
        title="Gleason combined is primary plus secondary, each 1 to 5",
        severity="F",
        check=gleason_sums,
        reads={TUMOUR: GLEASON},
    ),
    Rule(
        number=32,
        title="Morphology is known and fits the site; behaviour is a code",
        severity="F",
        check=morphology_fits_site,
        reads={TUMOUR: ["MORPH_ICD10_O2", SITE]},
    ),
    Rule(
        number=33,
        title=(
            "Grade, laterality, performance status, care plan, deprivation, ethnicity and region"
            " are listed codes"
        ),
        severity="F",
        check=coded_columns,
        reads={TUMOUR: ["GRADE"]},
    ),
    Rule(
        number=34,
        title="A side is given for paired organs only",
        severity="W",
        bounds=(None, 0.01),
        check=sides_of_paired_organs,
        reads={TUMOUR: ["LATERALITY", SITE]},
    ),
    Rule(
        number=35,
        title="The Charlson total follows from the listed groups",
        severity="F",
        check=charlson_totals,
        reads={TUMOUR: ["CHRL_TOT_27_03", "COMORBIDITIES_27_03"]},
    ),
)
