"""Analyses of survival with lifelines."""

from __future__ import annotations

import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter

from pipeline.evaluation.same_code.analysis import Analysis, Answer, Package, columns


def _followed(package: Package) -> pd.DataFrame:
    tumours = package.read("sim_av_tumour").merge(
        package.read("sim_av_patient")[["PATIENTID", "VITALSTATUS", "VITALSTATUSDATE"]],
        on="PATIENTID",
    )
    until, since = (
        pd.to_datetime(tumours[name]) for name in ("VITALSTATUSDATE", "DIAGNOSISDATEBEST")
    )
    tumours["years"] = (until - since).dt.days / 365.25
    tumours["died"] = tumours["VITALSTATUS"].str.startswith("D")
    return tumours


def survival_by_stage(package: Package) -> Answer:
    tumours = _followed(package)
    stage = tumours["STAGE_BEST"].astype(str).str[0]
    curves = {
        name: KaplanMeierFitter().fit(rows["years"], rows["died"]).predict([1, 3, 5]).to_numpy()
        for name, rows in tumours.groupby(stage)
        if name in "1234"
    }
    table = pd.DataFrame(curves, index=[1, 3, 5])
    return Answer(columns(table))


def hazards(package: Package) -> Answer:
    """Age, sex and deprivation, whose fifth is the first character of its label."""
    tumours = _followed(package)
    rows = pd.DataFrame(
        {
            "years": tumours["years"],
            "died": tumours["died"],
            "age": tumours["AGE"] / 10,
            "female": (tumours["GENDER"] == 2).astype(int),
            "fifth": tumours["QUINTILE_2019"].str[0].astype(int),
        }
    )
    model = CoxPHFitter(penalizer=0.01).fit(rows[rows["years"] > 0], "years", "died")
    return Answer(tuple(model.params_.index))


ANALYSES = (
    Analysis("Kaplan-Meier by stage", "lifelines", survival_by_stage),
    Analysis("Hazard ratios of age, sex, deprivation", "lifelines, Cox", hazards),
)
