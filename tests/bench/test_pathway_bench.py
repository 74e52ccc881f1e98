"""The pathway benchmark's own code: stored patients, rules of synthetic tables, halves and rates of
the malaria cohort, plots.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from bench import pathway_data, pathway_plots, pathway_rules, pathway_visits
from pipeline.adapters import canonical, to_tables
from pipeline.schema.patient_log import ID, PatientLog


def test_stored_patients_are_the_simulated_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pathway_data, "CHUNK", 40)  # several files
    schema = pathway_data.read_declaration()
    patients, events = pathway_data.simulate_to_files(schema, 100, 3, tmp_path)
    sample = pathway_data.simulate_log(schema, 100, 3)
    assert patients.equals(sample.patients) and events.collect().equals(sample.pathways)


def test_rules_name_what_a_table_breaks() -> None:
    schema = pathway_data.read_declaration()
    real = pathway_data.simulate_log(schema, 60, 3)
    sample = canonical(schema, real, extract_date=pathway_data.EXTRACT)
    tables = to_tables(schema, sample, extract_date=pathway_data.EXTRACT)
    sound = pathway_rules.judge(schema, tables, sample)
    assert not [rule for rule in sound if rule["severity"] == "F" and rule["status"] == "fail"]
    late = pl.lit(date(2021, 5, 1)).alias("DIAGNOSISDATEBEST")
    broken = pathway_rules.judge(
        schema, tables | {"sim_av_tumour": tables["sim_av_tumour"].with_columns(late)}, sample
    )
    failed = [rule for rule in broken if rule["status"] == "fail"]
    assert failed and f"{failed[0]['rule']} {failed[0]['title']}" in pathway_rules.summary(broken)
    assert (
        "| F |" in pathway_rules.summary(sound) and pathway_rules.summary(sound).count("none") >= 1
    )


def visits(n: int) -> PatientLog:
    """n people at two sites, one year each, with a case of malaria a month where the site is
    kihihi.
    """
    patients = pl.DataFrame(
        {ID: range(n), "site": ["kihihi" if i % 2 else "walukuba" for i in range(n)]}
    )
    rows = [
        (i, day, "Yes" if i % 2 and day else "No")
        for i in range(n)
        for day in [0, *range(30, 361, 30), 365]
    ]
    return PatientLog(
        patients, pl.DataFrame(rows, orient="row", schema=[ID, "day", "malaria_diagnosis"])
    )


def test_halves_share_nobody_and_leave_nobody_out() -> None:
    everybody = visits(21)
    train, holdout = pathway_visits.halves(everybody, 5)
    ids = [set(part.patients[ID]) for part in (train, holdout)]
    assert (
        not ids[0] & ids[1]
        and ids[0] | ids[1] == set(range(21))
        and abs(len(ids[0]) - len(ids[1])) == 1
    )
    assert (
        set(train.pathways[ID]) == ids[0]
        and pathway_visits.halves(everybody, 6)[0].patients[ID].to_list()
        != train.patients[ID].to_list()
    )


def test_malaria_is_counted_per_person_year() -> None:
    rates = dict(pathway_visits.malaria(visits(10)).iter_rows())
    assert rates == {"walukuba": 0, "kihihi": pytest.approx(13 / (365 / 365.25))}


def test_curves_are_drawn_where_a_figure_is_missing(tmp_path: Path) -> None:
    rows = [
        {"patients": n, "seed": seed, **dict.fromkeys(pathway_plots.PANELS, 0.1 * seed)}
        for n in (5_000, 20_000)
        for seed in (1, 2)
    ]
    rows[0]["cox_error"] = None
    pathway_plots.curves(rows, "patients", rows[2:], "patients", tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert text.count('<g id="axes_') == len(pathway_plots.PANELS)
