"""Would the analysis have come out the same? The 29 standard analyses of a cancer registry on a
source and on a synthetic table: A1 to A29, a module each.

evaluation.md lists them with their limits. Needs are names of static columns, event types,
attributes and tables; "events" is any event log.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

from pipeline.evaluation.analyses import (
    a01_marginals,
    a02_ages_and_dates,
    a03_pairs,
    a04_incidence,
    a05_early_stage,
    a06_routes,
    a07_survival_curves,
    a08_stage_order,
    a09_curve_gaps,
    a10_net_survival,
    a11_cox,
    a12_early_excess,
    a13_treatment_rates,
    a14_treatment_odds,
    a15_time_to_treatment,
    a16_intervals,
    a17_regimens,
    a18_cycles,
    a19_deaths_after_drugs,
    a20_radiotherapy_schedules,
    a21_sequences,
    a22_process_mining,
    a23_biomarkers,
    a24_three_way,
    a25_gradients,
    a26_prediction,
    a27_discriminator,
    a28_subgroups,
    a29_trials,
)
from pipeline.evaluation.findings import Analysis, Finding, Verdict
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

ANALYSES: tuple[Analysis, ...] = tuple(
    module.ANALYSIS
    for module in (
        a01_marginals,
        a02_ages_and_dates,
        a03_pairs,
        a04_incidence,
        a05_early_stage,
        a06_routes,
        a07_survival_curves,
        a08_stage_order,
        a09_curve_gaps,
        a10_net_survival,
        a11_cox,
        a12_early_excess,
        a13_treatment_rates,
        a14_treatment_odds,
        a15_time_to_treatment,
        a16_intervals,
        a17_regimens,
        a18_cycles,
        a19_deaths_after_drugs,
        a20_radiotherapy_schedules,
        a21_sequences,
        a22_process_mining,
        a23_biomarkers,
        a24_three_way,
        a25_gradients,
        a26_prediction,
        a27_discriminator,
        a28_subgroups,
        a29_trials,
    )
)


def run_analyses(
    schema: Schema,
    real: PatientLog,
    synthetic: PatientLog,
    progress: Callable[[str], None],
    analyses: Sequence[Analysis] = ANALYSES,
) -> list[Finding]:
    """The findings of all analyses whose needs the dataset meets. One that fails on odd data is an
    untested finding that says so, in words without any value of a row.
    """
    names = available(schema)
    findings: list[Finding] = []
    for analysis in analyses:
        if not set(analysis.needs) <= names:
            continue
        progress(f"{analysis.number} {analysis.name}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about steps and empty columns
                findings += analysis.run(schema, real, synthetic)
        # whatever a library raises on odd data; the next analysis still runs
        except Exception as fault:
            findings.append(_not_run(analysis, fault))
    return findings


def available(schema: Schema) -> set[str]:
    """The names that needs may name and this dataset has."""
    names = {*schema.patients, *schema.tables}
    if schema.events is not None:
        names |= {"events", *schema.events.types, *schema.events.attributes}
    return names


def _not_run(analysis: Analysis, fault: Exception) -> Finding:
    return Finding(
        analysis=analysis.number,
        what=f"{analysis.name} (could not be computed: {type(fault).__name__})",
        measure="",
        real=None,
        synthetic=None,
        distance=math.nan,
        limit=math.nan,
        verdict=Verdict.UNTESTED,
    )


def worst_groups(findings: Sequence[Finding]) -> list[Finding]:
    """Of each kind of subgroup ("Ethnicity", "Age"), the finding that lies furthest beyond its
    limit, or nearest to it; the worst first.
    """
    worst: dict[str, Finding] = {}
    for finding in findings:
        kind = finding.group.partition(":")[0]
        if kind and (kind not in worst or excess(finding) > excess(worst[kind])):
            worst[kind] = finding
    return sorted(worst.values(), key=excess, reverse=True)


def excess(finding: Finding) -> float:
    """The distance in limits; below 0 where untested."""
    if finding.verdict is Verdict.UNTESTED:
        return -1.0
    return finding.distance / finding.limit if finding.limit > 0 else math.inf
