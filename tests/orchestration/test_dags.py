"""The DAGs: their arrows, their form, and that parsing them loads nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pipeline.catalog import project_root
from pipeline.params import load
from pipeline.stages import APPROVALS, AS_DECLARED, REFUSED, STAGES

REFRESH = {
    "turn": ["check_source"],
    "check_source": ["prepare"],
    "prepare": ["ingest"],
    "ingest": ["validate"],
    "validate": ["needs_confirmation"],
    "needs_confirmation": ["confirmation"],
    "confirmation": ["confirm"],
    "confirm": ["reserve"],
    "reserve": ["enough_budget", "train"],
    "enough_budget": [],
    "train": ["sample"],
    "sample": ["evaluate"],
    "evaluate": ["needs_approval"],
    "needs_approval": ["approval"],
    "approval": ["approve"],
    "approve": ["publish"],
    "publish": [],
}
REQUEST = {"check": ["train"], "train": ["draw"], "draw": []}
DAGS = ("refresh", "draw", "request", "budget_report", "declare_source", "tidy", "watch")
DRAW = {"prepare": ["sample"], "sample": ["gate"], "gate": ["publish"], "publish": []}

SEVERAL_HOSTS = """
database: postgresql://a@b/c
stores: {restricted: "git@b:r.git", released: "git@b:p.git"}
remotes: {restricted: "s3://r/dvc", released: "s3://p/dvc"}
checkpoints: s3://r/runs
keys: /run/keys
airflow: {queues: {restricted: registry, train: gpu, released: open}}
"""

# One process parses both, as the DAG processor would, and tells what it saw.
PARSE = """
import importlib, json, os, sys, time, types
import airflow.sdk, airflow.providers.standard.operators.bash, airflow.providers.standard.operators.hitl
import airflow.providers.standard.operators.trigger_dagrun, airflow.providers.standard.triggers.external_task
before, started = set(sys.modules), time.monotonic()
import dags.refresh, dags.draw, dags.request, dags.budget_report, dags.declare_source, dags.tidy, dags.watch
seconds, new = time.monotonic() - started, set(sys.modules) - before
from dags.stages import SOURCE, Subprocess, asked_by, other_datasets, dataset_of
from dags.approval import answered_by, chosen as option_of, others
from dags.notifiers import End, Findings, Question
from pipeline.services import notices
from dags.chained import draw_of, refresh_of
from airflow.sdk.exceptions import AirflowException, AirflowFailException
def told(dag):
    commands = {t.task_id: getattr(t, "bash_command", "") for t in dag.tasks}
    return {
        "edges": {t.task_id: sorted(t.downstream_task_ids) for t in dag.tasks}, "commands": commands, "catchup": dag.catchup,
        "active": dag.max_active_runs, "form": {name: dag.params.get_param(name).serialize() for name in dag.params},
        "xcom": [t.task_id for t in dag.tasks if commands[t.task_id] and t.do_xcom_push],
        "first": [str(dag.start_date), str(getattr(getattr(dag.timetable, "timetable", dag.timetable), "run_immediately", None))],
        "rules": sorted({getattr(t.trigger_rule, "value", t.trigger_rule) for t in dag.tasks}), "docs": {t.task_id: t.doc_md for t in dag.tasks},
        "outlets": {t.task_id: [asset.name for asset in t.outlets] for t in dag.tasks if t.outlets},
        "events": {t.task_id: t.event for t in dag.tasks if getattr(t, "event", None)},
        "groups": {name: sorted(group.children) for name, group in dag.task_group.get_task_group_dict().items() if name},
        "retries": {t.task_id: t.retries for t in dag.tasks},
    }
def outcome(code):
    try:
        return Subprocess().run_command(["bash", "-c", f"echo 12:00:00 why; exit {code}"]).exit_code
    except AirflowException as error:
        return f"{type(error).__name__}: {error}"
def given(user, **params):
    return {"responded_by_user": {"id": user, "name": user}, "params_input": params, "chosen_options": ["Reject"]}
def asked(**form):
    request = dict.fromkeys(["kind", "dataset", "model_of", "rows", "plan", "epsilon", "asked_by", "release_id"]) | form
    return [refresh_of(request, "1a2b:3c"), draw_of(request, "1a2b:3c")]
def notice():
    sent = []
    notices.send = lambda settings, *words: sent.append(words)
    Question().notify({"task": types.SimpleNamespace(subject="Publish release a-1?")})
    return sent
def ended(task, error, **form):
    sent = []
    notices.send = lambda settings, *words: sent.append(words)
    run = types.SimpleNamespace(conf=form, run_id="run-1", dag_id="refresh")
    End().notify({"task": types.SimpleNamespace(task_id=task), "dag_run": run, "exception": error})
    return sent[0]
def told_of():
    from pipeline.services import findings
    homes = []
    findings.tell = lambda home: homes.append(str(home.root))
    Findings().notify({})
    return len(homes)
def environment_of_a_task():
    import os
    from unittest.mock import patch
    from dags.stages import command
    secrets = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_CONN_X", "_AIRFLOW__STARTUP_MSG")
    others = {"PGPASSFILE": "x", "AIRFLOW_PORT": "8081", "SYNDASERA_HOME": "/home-of-ours"}
    of_the_run = patch("airflow.providers.standard.operators.bash.context_to_airflow_vars", lambda *_, **__: {"AIRFLOW_CTX_DAG_RUN_ID": "run"})
    with of_the_run, patch.dict(os.environ, {**dict.fromkeys(secrets, "a secret"), **others}):
        given = command("x", "true", {"RELEASE_ID": "a-1"}, doc="x").get_env({})
    return {name: value for name, value in given.items() if "AIRFLOW" in name or value == "a secret" or name in ("RELEASE_ID", *others)}
def callbacks(dag):
    kinds = lambda t: [type(one).__name__ for one in t.on_failure_callback or ()]
    return sorted({(type(t).__name__, *kinds(t)) for t in dag.tasks})
def event(**extra):
    return types.SimpleNamespace(extra=extra)
def chosen(form, *events):
    try:
        return [dataset_of(form, {SOURCE: events}), other_datasets({SOURCE: events})]
    except ValueError as error:
        return str(error)
def on_several_hosts():
    for name in ("dags.stages", "dags.refresh", "dags.draw"):
        importlib.reload(sys.modules[name])
    both = {"refresh": dags.refresh.dag, "draw": dags.draw.dag}
    return {name: {t.task_id: [t.queue, getattr(t, "bash_command", ""), getattr(t, "cwd", None)] for t in dag.tasks} for name, dag in both.items()}
print(json.dumps({"seconds": seconds, "new": sorted(new), "refresh": told(dags.refresh.dag), "draw": told(dags.draw.dag), "request": told(dags.request.dag),
                  "budget_report": told(dags.budget_report.dag), "schedule": str(dags.budget_report.dag.timetable.expression),
                  "tidy": told(dags.tidy.dag), "tidied": str(dags.tidy.dag.timetable.expression),
                  "declare_source": told(dags.declare_source.dag), "watch": told(dags.watch.dag), "watch_schedule": str(dags.watch.dag.timetable.expression),
                  "callbacks": {name: callbacks(module.dag) for name, module in (("refresh", dags.refresh), ("draw", dags.draw), ("watch", dags.watch), ("budget_report", dags.budget_report))},
                  "ends": [ended("train", AirflowFailException("refused: 39 of age")), ended("train", ValueError("39"), release_id="a-1"), ended("evaluate", AirflowFailException("x")),
                           ended("reserve", AirflowFailException("x"), release_id="a-1"), ended("publish", OSError("x"))], "told_of": told_of(), "task": environment_of_a_task(),
                  "assets": dags.refresh.dag.timetable.asset_condition.name,
                  "assigned": {t.task_id: [[u["id"] for u in t.assigned_users], len(t.notifiers)] for t in dags.refresh.dag.tasks if hasattr(t, "assigned_users")},
                  "notice": notice(),
                  "askers": [asked_by(user, {"asked_by": "ann@x.org"}) for user in ("portal", "bob", None)],
                  "answerers": [answered_by(one) for one in (given("portal", answered_by="c@x.org"), given("bob", answered_by="c@x.org"), given("portal"), {})],
                  "options": [option_of(given("bob")), option_of({})],
                  "others": [others([{"id": "portal"}, {"id": "bob"}], asker) for asker in ("bob", "portal", "ann", None)],
                  "chained": [asked(kind="draw", model_of="a-1", rows=5, asked_by="ann@x.org", release_id="b-1"), asked(kind="training", dataset="adult", epsilon=0.5, release_id="c-1"),
                              asked(kind="training", dataset="adult", plan="where: {age: 30}", release_id="d-1"), asked(kind="draw", model_of="a-1")],
                  "after": {code: outcome(code) for code in (0, 1, 2, 99)}, "chosen": {
                      "form": chosen({"dataset": "adult"}), "none": chosen({}), "by hand": chosen({"dataset": "adult"}, event()),
                      "event": chosen({"dataset": "adult"}, event(dataset="uci_heart", label="a")),
                      "several": chosen({"dataset": "adult"}, event(dataset="uci_heart"), event(dataset="adult"), event(dataset="credit_default")),
                      "twice": chosen({"dataset": "adult"}, event(dataset="uci_heart"), event(dataset="uci_heart")),
                      "unknown": chosen({"dataset": "adult"}, event(dataset="../elsewhere"))},
                  "hosts": os.environ.update(SYNDASERA_DEPLOYMENT=sys.argv[1]) or on_several_hosts()}, default=str))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    deployment = tmp_path_factory.mktemp("deployment") / "deployment.yaml"
    deployment.write_text(SEVERAL_HOSTS, encoding="utf-8")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(deployment)],
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
    assert parsed["request"]["edges"] == REQUEST
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
        parsed["refresh"]["commands"]["enough_budget"]
        == "python -m pipeline enough-budget || exit 99"
    )


def test_the_watch_is_hourly_and_tells(parsed):
    assert parsed["watch"]["edges"] == {"watch": []} and parsed["watch_schedule"] == "20 * * * *"
    assert parsed["watch"]["commands"] == {"watch": "python -m pipeline watch"}
    assert parsed["watch"]["first"] == ["None", "0:00:00"] and parsed["watch"]["active"] == 1
    assert parsed["callbacks"]["watch"] == [["Command", "Findings"]] and parsed["told_of"] == 1


def test_custodians_are_told_of_every_task_that_ended_badly(parsed):
    for dag in ("refresh", "draw", "budget_report"):
        assert all(one[1:] == ["End"] for one in parsed["callbacks"][dag]), parsed["callbacks"]


def test_a_task_is_given_none_of_the_secrets_of_airflow(parsed):
    assert parsed["task"] == {
        "RELEASE_ID": "a-1",
        "PGPASSFILE": "x",
        "AIRFLOW_PORT": "8081",
        "SYNDASERA_HOME": "/home-of-ours",
        "AIRFLOW_CTX_DAG_RUN_ID": "run",
    }


def test_a_stage_that_reads_rows_says_one_word(parsed):
    why = "Airflow says where and why."
    assert [one[1:] for one in parsed["ends"]] == [
        ["Syndasera: run run-1 of refresh stopped", why],
        ["Syndasera: release a-1 stopped", why],
        ["Syndasera: run run-1 of refresh stopped", why],
        ["Syndasera: release a-1 refused", why],
        ["Syndasera: run run-1 of refresh failed", why],
    ]


def test_what_is_past_its_time_goes_weekly_and_in_no_hurry(parsed):
    schedule = load(project_root() / "params.yaml").schedule.tidy
    assert parsed["tidied"] == schedule == "0 5 * * 0"
    assert parsed["tidy"]["commands"] == {"tidy": "python -m pipeline tidy"}
    assert parsed["tidy"]["first"] == ["None", "0:00:00"] and not parsed["tidy"]["catchup"]


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
    # both hand over one of two fixed sentences (test_airflow)
    assert parsed["refresh"]["xcom"] == ["needs_confirmation", "needs_approval"]
    assert (
        parsed["draw"]["xcom"]
        == parsed["budget_report"]["xcom"]
        == parsed["declare_source"]["xcom"]
        == []
    )


def test_what_a_person_types_never_becomes_shell_text(parsed):
    for dag in DAGS:
        assert not any("{{" in command for command in parsed[dag]["commands"].values())


def test_runs_of_several_populations_go_on_beside_each_other_and_no_catch_up(parsed):
    assert (parsed["refresh"]["catchup"], parsed["refresh"]["active"]) == (False, 16)
    assert "same population" in parsed["refresh"]["docs"]["turn"]
    assert parsed["draw"]["catchup"] is False


def test_the_form_checks_what_it_is_given(parsed):
    form = {name: entry["schema"] for name, entry in parsed["refresh"]["form"].items()}
    assert form["dataset"]["enum"] == sorted(
        path.stem for path in (project_root() / "datasets").glob("*.yaml")
    )
    assert form["epsilon"]["exclusiveMinimum"] == 0 and form["rows"]["minimum"] == 1
    assert form["release_id"]["pattern"].startswith("^[a-z0-9]")
    assert set(form) == {
        "dataset",
        "source",
        "label",
        "extract_date",
        "epsilon",
        "rows",
        "cohorts",
        "approval",
        "again",
        "asked_by",
        "release_id",
    }
    assert (
        form["approval"]["enum"] == list(APPROVALS)
        and parsed["refresh"]["form"]["approval"]["value"] == AS_DECLARED
    )


BOUNDS = {
    "exclusiveMinimum": "more than {}",
    "minimum": "{}",
    "maximum": "{}",
    "pattern": "",
    "format": "YYYY-MM-DD",
}


@pytest.mark.parametrize("dag", DAGS)
def test_every_field_tells_its_bounds_before_it_is_filled_in(parsed, dag):
    for name, field in parsed[dag]["form"].items():
        told = (field["description"] or "").replace(",", "")
        assert told, f"{dag}: {name} has no description"
        is_text = field["schema"].get("format") == "multiline"  # a form with room for lines
        for bound in BOUNDS.keys() & field["schema"].keys() - ({"format"} if is_text else set()):
            assert BOUNDS[bound].format(field["schema"][bound]) in told, (
                f"{dag}: {name} does not tell its {bound}"
            )


def test_a_declared_source_starts_a_refresh_of_its_dataset(parsed):
    assert parsed["assets"] == "source" and parsed["declare_source"]["outlets"] == {
        "declare": ["source"]
    }
    assert parsed["chosen"]["form"] == parsed["chosen"]["by hand"] == ["adult", ""] and parsed[
        "chosen"
    ]["none"] == ["draw", ""]
    assert parsed["chosen"]["event"] == parsed["chosen"]["twice"] == ["uci_heart", ""]
    assert parsed["chosen"]["several"] == ["credit_default", "adult,uci_heart"]
    assert "../elsewhere; the datasets are adult" in parsed["chosen"]["unknown"]


def test_events_of_assets_carry_public_names_only(parsed):
    assert (
        parsed["refresh"]["outlets"] == parsed["draw"]["outlets"] == {"publish": ["extract"]}
        and parsed["budget_report"]["outlets"] == {}
    )
    assert {key for dag in DAGS for event in parsed[dag]["events"].values() for key in event} == {
        "dataset",
        "label",
        "release_id",
        "model_of",
    }


def test_every_task_says_what_it_does(parsed):
    for dag in DAGS:
        assert all(parsed[dag]["docs"].values()), parsed[dag]["docs"]
    assert all(STAGES[name].summary in parsed["refresh"]["docs"][name] for name in STAGES)


def test_tasks_are_grouped_and_keep_their_names(parsed):
    assert parsed["refresh"]["groups"] == {
        "source": ["confirm", "confirmation", "ingest", "needs_confirmation", "validate"],
        "model": ["enough_budget", "reserve", "train"],
        "extract": ["evaluate", "sample"],
        "release": ["approval", "approve", "needs_approval", "publish"],
    }


def test_a_refusal_is_not_tried_again_and_a_crash_is(parsed):
    assert parsed["after"] == {
        "0": 0,
        "1": 1,
        str(REFUSED): "AirflowFailException: refused: why",
        "99": 99,
    }
    assert all(parsed["refresh"]["retries"][stage] == 2 for stage in STAGES)


def test_nothing_runs_where_the_task_before_was_skipped_or_failed(parsed):
    # No branch: a healthy run skips nothing, and a rejection reaches the stage approve, which
    # records it.
    # A request skips what it did not ask for.
    rules = {dag: parsed[dag]["rules"] for dag in DAGS}
    assert rules.pop("request") == ["all_success", "none_failed"]
    assert all(one == ["all_success"] for one in rules.values())


def test_a_fresh_airflow_makes_up_for_no_missed_time(parsed):
    # With a start date, or with Airflow's usual grace, starting Airflow on a Tuesday would charge
    # Monday's run.
    assert parsed["refresh"]["first"] == ["None", "0:00:00"]


def test_only_the_portal_and_who_is_named_may_answer_and_custodians_are_told(parsed):
    # params.yaml names nobody: so `admin`, who starts runs, cannot answer for them
    assert parsed["assigned"] == {"confirmation": [["portal"], 1], "approval": [["portal"], 1]}
    assert parsed["notice"] == [[[], "Syndasera: Publish release a-1?", "It waits in the portal."]]


def test_whoever_started_a_run_is_not_among_those_who_may_answer(parsed):
    portal, bob = {"id": "portal"}, {"id": "bob"}
    assert parsed["others"] == [[portal], [portal, bob], [portal, bob], [portal, bob]]


def test_nobody_but_the_portal_speaks_for_another_person(parsed):
    assert parsed["askers"] == ["ann@x.org", "bob", "the schedule"]
    assert parsed["answerers"] == ["c@x.org", "bob", "portal", ""]
    assert parsed["options"] == ["Reject", ""]


def test_a_request_starts_what_was_asked_for(parsed):
    draw, training, training_and_draw, by_hand = parsed["chained"]
    assert draw == [
        None,
        {"model_of": "a-1", "rows": 5, "asked_by": "ann@x.org", "release_id": "b-1"},
    ]
    assert training == [
        {"dataset": "adult", "epsilon": 0.5, "release_id": "c-1", "again": True},
        None,
    ]
    assert training_and_draw[1] == {
        "plan": "where: {age: 30}",
        "model_of": "d-1",
        "release_id": "d-1-d",
    }
    assert by_hand[1]["release_id"] == "request-1a2b-3c"


def test_on_several_hosts_rows_are_read_only_by_workers_of_their_queues(parsed):
    refresh, draw = parsed["hosts"]["refresh"], parsed["hosts"]["draw"]
    queues = {task: queue for task, (queue, _, _) in refresh.items()}
    assert queues.pop("train") == "gpu" and set(queues.values()) == {"registry"}
    assert {queue for queue, _, _ in draw.values()} == {"open"}
    # no folder of one host: the command brings the workspace to where it runs
    assert all(folder is None for _, _, folder in (*refresh.values(), *draw.values()))
    assert refresh["train"][1] == 'python -m pipeline in-run "$RUN_RELEASE_ID" train'
    assert refresh["enough_budget"][1].endswith("enough-budget || exit 99")
