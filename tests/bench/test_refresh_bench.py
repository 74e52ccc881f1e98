"""The sources and figures of bench/refresh.py."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bench import refresh, refresh_tables, simulated_source
from pipeline.catalog import Home
from pipeline.runs import source_claims
from pipeline.stages import STAGES


def test_parts_are_one_simulated_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No number stands for two people, and the pipeline takes it for a simulated source."""
    monkeypatch.setattr(simulated_source, "PART", 300)
    out = tmp_path / "source"
    simulated_source.write(900, out)
    patients = pl.read_csv(out / "sim_av_patient.csv", infer_schema=False)
    assert patients["PATIENTID"].n_unique() == 900
    assert refresh.simulate_command(900, out)[1:3] == ["-m", "bench.simulated_source"]
    home = Home(tmp_path / "home")
    home.state.mkdir(parents=True)
    source_claims.claim(home, out, population="simulated_900", kind="simulated")


def test_what_a_run_of_the_dag_takes_beyond_its_stages_is_counted() -> None:
    """Starts of tasks lie within the tasks' own times: their sum would hide them."""
    cost = {
        (stage, n): {"seconds": seconds, "peak_mb": 100.0}
        for n, seconds in ((5000, 10.0), (refresh_tables.FROM, 100.0))
        for stage in ("simulate", *STAGES)
    }
    cost["DAG run", 5000] = {"seconds": 10.0 * len(STAGES) + 30, "peak_mb": 0.0}
    cost["tasks of the DAG", 5000] = {"seconds": 10.0 * len(STAGES) + 20, "peak_mb": 0.0}
    assert refresh_tables.own_seconds(cost) == pytest.approx(30)
    expected = 30 / (30 + 100 * len(STAGES))
    assert refresh_tables.airflow_share(cost) == pytest.approx(expected)
