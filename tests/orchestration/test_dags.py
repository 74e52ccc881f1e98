"""The DAGs: their arrows, their form, and that parsing them loads nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pipeline.catalog import project_root
from pipeline.params import load
from pipeline.stages import REFUSED, STAGES

REFRESH = {
    "check_source": ["prepare"],
    "prepare": ["ingest"],
    "ingest": ["validate"],
    "validate": ["reserve"],
    "reserve": ["budget_is_low", "train"],
    "budget_is_low": [],
    "train": ["sample"],
    "sample": ["evaluate"],
    "evaluate": ["approve", "needs_approval"],
    "needs_approval": ["approval"],
    "approval": ["answered"],
    "answered": ["approve"],
    "approve": ["publish"],
    "publish": [],
}
DRAW = {"prepare": ["sample"], "sample": ["gate"], "gate": ["publish"], "publish": []}

# One process parses both, as the DAG processor would, and tells what it saw.
PARSE = """
import json, sys, time
import airflow.sdk, airflow.providers.standard.operators.bash, airflow.providers.standard.operators.hitl
import airflow.providers.standard.operators.empty
before, started = set(sys.modules), time.monotonic()
import dags.refresh, dags.draw, dags.budget_report
seconds, new = time.monotonic() - started, set(sys.modules) - before
from dags.stages import NotAfterRefusal
def told(dag):
    commands = {t.task_id: getattr(t, "bash_command", "") for t in dag.tasks}
    return {
        "edges": {t.task_id: sorted(t.downstream_task_ids) for t in dag.tasks}, "commands": commands, "catchup": dag.catchup,
        "active": dag.max_active_runs, "form": {name: dag.params.get_param(name).serialize() for name in dag.params},
        "xcom": [t.task_id for t in dag.tasks if commands[t.task_id] and t.do_xcom_push],
        "first": [str(dag.start_date), str(getattr(dag.timetable, "run_immediately", None))],
        "rules": {t.task_id: t.trigger_rule for t in dag.tasks}, "retries": {t.task_id: t.retries for t in dag.tasks},
    }
policy = NotAfterRefusal()
def action(code):
    return policy.evaluate(Exception(f"The command returned a non-zero exit code {code}."), 1, 2).action.value
print(json.dumps({"seconds": seconds, "new": sorted(new), "refresh": told(dags.refresh.dag), "draw": told(dags.draw.dag),
                  "budget_report": told(dags.budget_report.dag), "schedule": str(dags.budget_report.dag.timetable.expression),
                  "after": {code: action(code) for code in (1, 2, 137)}}, default=str))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        cwd=project_root(),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_arrows_are_the_expected_ones(parsed):
    assert parsed["refresh"]["edges"] == REFRESH
    assert parsed["draw"]["edges"] == DRAW
    assert parsed["budget_report"]["edges"] == {"budget_report": []}


def test_the_budget_report_is_weekly_and_does_what_the_command_line_does(parsed):
    assert (
        parsed["schedule"]
        == load(project_root() / "params.yaml").schedule.budget_report
        == "0 6 * * 1"
    )
    assert parsed["budget_report"]["commands"] == {
        "budget_report": "python -m pipeline budget-report --mlflow"
    }
    assert (
        parsed["budget_report"]["first"] == ["None", "0:00:00"]
        and parsed["budget_report"]["catchup"] is False
    )
    assert (
        parsed["refresh"]["commands"]["budget_is_low"]
        == "python -m pipeline budget-is-low || exit 99"
    )


def test_parsing_loads_nothing_heavy(parsed):
    loaded = {name.split(".")[0] for name in parsed["new"]}
    assert not loaded & {
        "torch",
        "pandas",
        "polars",
        "numpy",
        "mlflow",
        "dvc",
        "great_expectations",
        "dp_accounting",
        "scipy",
    }
    assert len(parsed["new"]) < 200


def test_every_stage_is_one_task_that_runs_it_by_dvc_without_run_cache(parsed):
    commands = parsed["refresh"]["commands"]
    for stage in STAGES:
        assert f"dvc repro --single-item --no-run-cache {stage} " in commands[stage]
    assert [task for task in commands if task in STAGES] and set(STAGES) <= set(commands)


def test_nothing_of_a_command_goes_through_xcom(parsed):
    assert (
        parsed["refresh"]["xcom"] == parsed["draw"]["xcom"] == parsed["budget_report"]["xcom"] == []
    )


def test_what_a_person_types_never_becomes_shell_text(parsed):
    for dag in ("refresh", "draw", "budget_report"):
        assert not any("{{" in command for command in parsed[dag]["commands"].values())


def test_one_refresh_at_a_time_and_no_catch_up(parsed):
    assert (parsed["refresh"]["catchup"], parsed["refresh"]["active"]) == (False, 1)
    assert parsed["draw"]["catchup"] is False


def test_the_form_checks_what_it_is_given(parsed):
    form = {name: entry["schema"] for name, entry in parsed["refresh"]["form"].items()}
    assert form["dataset"]["enum"] == sorted(
        path.stem for path in (project_root() / "datasets").glob("*.yaml")
    )
    assert form["epsilon"]["exclusiveMinimum"] == 0 and form["rows"]["minimum"] == 1
    assert form["release_id"]["pattern"].startswith("^[a-z0-9]")
    assert set(form) == {"dataset", "source", "epsilon", "rows", "cohorts", "release_id"}


def test_a_refusal_is_not_tried_again_and_a_crash_is(parsed):
    assert parsed["after"] == {"1": "default", str(REFUSED): "fail", "137": "default"}
    assert all(parsed["refresh"]["retries"][stage] == 2 for stage in STAGES)


def test_a_rejection_still_reaches_the_stage_that_records_it(parsed):
    # A rejection skips `answered`; approve must run then, and must not where everything was
    # skipped.
    assert parsed["refresh"]["rules"]["approve"] == "none_failed_min_one_success"


def test_a_fresh_airflow_makes_up_for_no_missed_time(parsed):
    # With a start date, or with Airflow's usual grace, starting Airflow on a Tuesday would charge
    # Monday's run.
    assert parsed["refresh"]["first"] == ["None", "0:00:00"]
