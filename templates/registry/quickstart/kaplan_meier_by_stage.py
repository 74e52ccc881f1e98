"""Survival by stage from the first tumour of each patient: Kaplan-Meier with pandas and lifelines.

python quickstart/kaplan_meier_by_stage.py [picture.png]
"""

import sys

import pandas as pd
from lifelines import KaplanMeierFitter

patients = pd.read_csv("Data/sim_av_patient.csv", dtype=str)
tumours = pd.read_csv("Data/sim_av_tumour.csv", dtype=str)
first = tumours.sort_values(["DIAGNOSISDATEBEST", "TUMOURID"]).drop_duplicates("PATIENTID")
people = first.merge(patients[["PATIENTID", "VITALSTATUS", "VITALSTATUSDATE"]], on="PATIENTID")
dates = people[["DIAGNOSISDATEBEST", "VITALSTATUSDATE"]].apply(pd.to_datetime)
people["years"] = (dates.VITALSTATUSDATE - dates.DIAGNOSISDATEBEST).dt.days.clip(lower=0) / 365.25
people["died"] = people.VITALSTATUS.str.startswith("D")
people["stage"] = people.STAGE_BEST.str[:1]
axes = None
for stage, group in people[people.stage.isin(["1", "2", "3", "4"])].groupby("stage"):
    curve = KaplanMeierFitter(label=f"stage {stage}").fit(group.years, group.died)
    one, five = curve.predict([1, 5])
    print(f"stage {stage}: {len(group)} patients, alive after 1 year {one:.2f}, after 5 {five:.2f}")
    if len(sys.argv) > 1:
        axes = curve.plot_survival_function(ax=axes)
if axes is not None:
    axes.set(xlabel="years since diagnosis", ylabel="share alive", ylim=(0, 1))
    axes.figure.savefig(sys.argv[1], dpi=150)
