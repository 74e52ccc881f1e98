"""The one Airflow session of the suite: a release whose training and publishing are killed, a
source declared again under its old label, a source that is not there, a second release that a
person approves in the portal, a draw that was asked for there.

The story is told once, in the fixture `story`; the tests look at what it left.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest
from ports import free_port
from ruamel.yaml import YAML

from pipeline import environment, files
from pipeline.catalog import Home, project_root
from pipeline.cli.services import setup
from pipeline.cli.task_log import TaskLog
from pipeline.cli.waiting import wait_for_airflow
from pipeline.environment import HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.released.verify import verify
from pipeline.runs import sources, version_stores
from pipeline.services import airflow_server, processes, tracking
from pipeline.services.airflow_api import AirflowApi, AirflowRefusal
from pipeline.simulator import command
from pipeline.stages import A_PERSON, BY_A_PERSON, BY_ITSELF

pytestmark = pytest.mark.airflow

POPULATION, PATIENTS = "simulated_pathways", 150
ASKER, CUSTODIAN, REQUEST_ID = "ann@example.org", "carla@example.org", "1a2b3c4d"
POLL_SECONDS = 2.0  # every answer costs the server some of the cores that the run needs
SMALL = {
    "table": {"steps": 20},
    "pathway": {"steps": 12, "calibration_patients": 200, "width": 8},
    "checkpoint_steps": 2,
}


@dataclass
class Story:
    """What happened. `tasks[run]`: task to (state, tries); `killed`: stages whose process was
    killed.
    """

    home: Home
    runs: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, dict[str, tuple[str, int]]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    entries: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    counts_at_kill: dict[str, float] = field(default_factory=dict)
    visible_at_kill: bool | None = None
    xcoms: list[str] = field(default_factory=list)
    who_approves: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    error_lines: list[str] = field(default_factory=list)
    refused_form: str = ""
    refused_answer: int | None = None  # status of HTTP: of who started the run and answered for it
    refused_again: int | None = None  # of a request that was sent twice
    left_over: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))
        patch.setenv(environment.AIRFLOW_PORT_VARIABLE, str(free_port()))
        patch.setenv("OMP_NUM_THREADS", "1")
        home = Home.find()
        _settings(home)
        setup()
        processes.start(home, airflow_server.airflow_services(home))
        try:
            family = [
                child
                for process in processes.running_services(home).values()
                for child in [process, *process.children(recursive=True)]
            ]
            done = _tell(home, wait_for_airflow(home))
        finally:
            processes.stop(home)
        done.left_over = [
            process.name()
            for process in family
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]
        yield done


def _tell(home: Home, api: AirflowApi) -> Story:
    story = Story(home)
    _declare(home, "first", date(2022, 12, 31))
    with pytest.raises(ValueError, match="400") as refused:
        api.trigger("refresh", {"dataset": POPULATION, "epsilon": -1})
    story.refused_form = str(refused.value)

    with _killer(story, home):
        _run(story, api, "refresh", "first-1", {"dataset": POPULATION})
    _declare_again(story, api, "first", date(2022, 12, 31))
    _run(
        story,
        api,
        "refresh",
        "nowhere-1",
        {"dataset": POPULATION, "source": str(home.state / "nowhere")},
    )
    story.error_lines = _error_lines(story, api, "nowhere-1")
    _declare(home, "second", date(2023, 3, 31))
    _settings(home, warn_below_share=0.99)
    _run(
        story,
        api,
        "refresh",
        "second-1",
        {"dataset": POPULATION, "approval": A_PERSON},
        _approver(story, api),
    )
    _ask_for_a_draw(story, api)
    _run(story, api, "budget_report", "report-1", {})
    story.events = [
        (event["name"], event["extra"])
        for event in api.call("GET", "/api/v2/assets/events?order_by=timestamp")["asset_events"]
    ]
    return story


def _ask_for_a_draw(story: Story, api: AirflowApi) -> None:
    """As the portal's bridge does, and once more: `drawn-1`, by the DAG `request`."""
    portal = airflow_server.portal_account(story.home)
    form = {"kind": "draw", "model_of": "first-1", "rows": 30, "release_id": "drawn-1"}
    form |= {"asked_by": ASKER, "approved_by": CUSTODIAN, "plan": "where: {AGE: 30..90}"}
    run = portal.trigger("request", form, run_id=REQUEST_ID)
    with pytest.raises(AirflowRefusal) as refused:
        portal.trigger("request", form, run_id=REQUEST_ID)
    story.refused_again = refused.value.status
    _finish(story, api, "request", "requested", run)
    _finish(story, api, "draw", "drawn-1", run)


def _settings(home: Home, *, warn_below_share: float = 0.01) -> None:
    settings = YAML(typ="safe").load((project_root() / "params.yaml").read_text())
    settings["privacy"] |= {"warn_below_share": warn_below_share, "warn_below_releases": 1}
    settings["train"] |= SMALL
    settings["release"]["rows"] = 60
    assert settings["approve"]["self_approve"]
    home.root.mkdir(parents=True, exist_ok=True)
    with files.replacing(home.root / "params.yaml") as path, path.open("w") as file:
        YAML().dump(settings, file)


def _declare(home: Home, label: str, extract_date: date) -> None:
    out = home.state / "source" / label
    arguments = argparse.ArgumentParser()
    command.add_arguments(arguments)
    command.run(
        arguments.parse_args(
            ["--patients", str(PATIENTS), "--out", str(out), "--extract-date", str(extract_date)]
        )
    )
    sources.declare(
        home, POPULATION, sources.Source(path=str(out), label=label, extract_date=extract_date)
    )


def _declare_again(story: Story, api: AirflowApi, label: str, extract_date: date) -> None:
    """By the DAG for custodians: the event of its asset starts the next run of `refresh`, here
    called `again`.
    """
    before = _runs(api, "refresh")
    path = str(story.home.state / "source" / label)
    run = api.trigger(
        "declare_source",
        {"dataset": POPULATION, "path": path, "label": label, "extract_date": str(extract_date)},
    )
    _finish(story, api, "declare_source", "declared", run)
    since = time.monotonic()
    while not (new := _runs(api, "refresh") - before):
        assert time.monotonic() - since < processes.STALL_SECONDS, (
            "the declared source started no run of refresh"
        )
        time.sleep(POLL_SECONDS)
    _finish(story, api, "refresh", "again", *new)


def _runs(api: AirflowApi, dag: str) -> set[str]:
    return {run["dag_run_id"] for run in api.call("GET", f"/api/v2/dags/{dag}/dagRuns")["dag_runs"]}


def _error_lines(story: Story, api: AirflowApi, name: str) -> list[str]:
    """What the log of `check_source` says at the level of an error."""
    log = TaskLog(story.home, "refresh", story.runs[name], "check_source", 1)
    return [json.dumps(entry) for entry in log.entries() if entry.get("level") == "error"]


def _run(
    story: Story,
    api: AirflowApi,
    dag: str,
    release_id: str,
    conf: dict[str, Any],
    meanwhile: Callable[[str], None] = lambda run: None,
) -> None:
    """Triggers a run with this release id and waits for its end."""
    _finish(
        story, api, dag, release_id, api.trigger(dag, {**conf, "release_id": release_id}), meanwhile
    )


def _finish(
    story: Story,
    api: AirflowApi,
    dag: str,
    release_id: str,
    run: str,
    meanwhile: Callable[[str], None] = lambda run: None,
) -> None:
    """Waits for the end, doing `meanwhile` again and again, as long as a state or a log changes;
    notes what happened.
    """
    last, since = _progress(story.home, api, dag, run), time.monotonic()
    while (state := api.run_state(dag, run)) not in ("success", "failed"):
        if (now := _progress(story.home, api, dag, run)) != last:
            last, since = now, time.monotonic()
        assert time.monotonic() - since < processes.STALL_SECONDS, f"{release_id} hangs: {last}"
        meanwhile(run)
        time.sleep(POLL_SECONDS)
    story.runs[release_id] = run
    tasks = api.tasks(dag, run)
    story.states[release_id] = state
    story.tasks[release_id] = {
        task["task_id"]: (task["state"], task["try_number"]) for task in tasks
    }
    story.entries[release_id] = [
        (entry.kind, entry.release_id) for entry in Ledger(story.home.ledger).entries(POPULATION)
    ]
    for task in tasks:
        for attempt in range(1, task["try_number"] + 1):
            story.log += [
                f"{release_id} {task['task_id']}: {line}"
                for line in TaskLog(story.home, dag, run, task["task_id"], attempt).lines()
            ]
    found = api.call("GET", f"/api/v2/dags/{dag}/dagRuns/~/taskInstances/~/xcomEntries?limit=1000")[
        "xcom_entries"
    ]
    story.xcoms = sorted({*story.xcoms, *(f"{entry['task_id']} {entry['key']}" for entry in found)})
    if story.tasks[release_id].get("needs_approval", ("", 0))[0] == "success":
        of_run = f"/api/v2/dags/{dag}/dagRuns/{urllib.parse.quote(run)}"
        place = f"{of_run}/taskInstances/needs_approval/xcomEntries/return_value"
        story.who_approves[release_id] = api.call("GET", place)["value"]


def _progress(
    home: Home, api: AirflowApi, dag: str, run: str
) -> tuple[list[tuple[str, str, int]], int]:
    """Every task's state and tries, and the size of the run's logs."""
    logs = (home.airflow / "logs" / f"dag_id={dag}" / f"run_id={run}").rglob("*.log")
    return [
        (task["task_id"], task["state"], task["try_number"]) for task in api.tasks(dag, run)
    ], sum(path.stat().st_size for path in logs)


@contextmanager
def _killer(story: Story, home: Home) -> Iterator[None]:
    """Kills training once it has measured counts, and publishing once the tag is there, each at its
    first attempt.

    In a thread of its own, so that a slow answer of Airflow does not let the moment pass.
    """
    workspace, ended = home.workspace("first-1"), threading.Event()

    def kill() -> None:
        counts = {
            path.name: path.stat().st_mtime
            for path in workspace.restricted.checkpoints.counts.glob("*.npz")
        }
        if "train" not in story.killed and len(counts) > 3 and _kill_stage(workspace.root, "train"):
            story.killed.append("train")
            story.counts_at_kill = counts
        is_begun = "train" in story.killed and version_stores.is_tagged(
            home.released_store, "first-1"
        )
        if is_begun and _kill_stage(workspace.root, "publish"):
            story.killed.append("publish")
            story.visible_at_kill = (home.published / "first-1").exists()

    def watch() -> None:
        while not ended.wait(0.1) and len(story.killed) < 2:
            kill()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _kill_stage(folder: Path, stage: str) -> bool:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        try:
            if (
                words[-3:] == ["-m", "pipeline", stage]
                and "python" in words[0]
                and process.cwd() == str(folder.resolve())
            ):
                process.kill()
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return False


def _approver(story: Story, api: AirflowApi) -> Callable[[str], None]:
    """Who started the run tries to approve it; then a custodian does, in the portal. An answer
    within a second of the question can fail the task, so it takes five.
    """
    asked: list[float] = []

    def answer(run: str) -> None:
        waiting = [
            task
            for task in api.tasks("refresh", run)
            if task["task_id"] == "approval" and task["state"] == "awaiting_input"
        ]
        if waiting and not asked:
            asked.append(time.monotonic())
        if waiting and time.monotonic() - asked[0] > 5:
            with pytest.raises(AirflowRefusal) as refused:
                api.answer("refresh", run, "approval", "Approve")
            story.refused_answer = refused.value.status
            portal = airflow_server.portal_account(story.home)
            portal.answer("refresh", run, "approval", "Approve", answered_by=CUSTODIAN)
            asked[0] += 1e9

    return answer


def _said(story: Story) -> str:
    return "\n".join(story.log[-60:])


def test_a_release_whose_training_and_publishing_were_killed_finishes(story):
    assert story.killed == ["train", "publish"]
    assert story.states["first-1"] == "success", _said(story)
    assert story.tasks["first-1"]["train"] == ("success", 2)
    assert story.tasks["first-1"]["publish"] == ("success", 2)


def test_it_was_charged_once_and_released_once(story):
    assert story.entries["first-1"] == [
        ("opened", None),
        ("keyed", None),
        ("reserved", "first-1"),
        ("training", "first-1"),
        ("trained", "first-1"),
        ("released", "first-1"),
    ]


def test_the_retry_of_training_measured_nothing_a_second_time(story):
    counts = story.home.workspace("first-1").restricted.checkpoints.counts
    assert story.counts_at_kill
    assert {
        name: (counts / name).stat().st_mtime for name in story.counts_at_kill
    } == story.counts_at_kill


@pytest.mark.parametrize("release_id", ["first-1", "second-1", "drawn-1"])
def test_a_published_release_is_sound(story, release_id, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(story.home.root))
    assert [check for check in verify(story.home, release_id) if not check.passed] == []


@pytest.mark.parametrize("release_id", ["first-1", "drawn-1", "report-1", "declared"])
def test_a_healthy_run_is_green_from_end_to_end(story, release_id):
    assert {state for state, _ in story.tasks[release_id].values()} == {"success"}


def test_a_declared_source_starts_a_run_and_the_charged_label_decides(story):
    assert story.tasks["declared"] == {"declare": ("success", 1)}
    assert (
        story.runs["again"].startswith("asset_triggered__") and story.states["again"] == "success"
    )
    states = {task: state for task, (state, _) in story.tasks["again"].items()}
    assert states.pop("turn") == "success" and set(states.values()) == {"skipped"}
    assert story.entries["again"] == story.entries["first-1"]
    assert {path.name for path in story.home.runs.iterdir()} == {"first-1", "second-1", "drawn-1"}


def test_events_of_assets_carry_public_names_only(story):
    assert story.events == [
        ("extract", {"dataset": POPULATION, "release_id": "first-1"}),
        ("source", {"dataset": POPULATION, "label": "first"}),
        ("extract", {"dataset": POPULATION, "release_id": "second-1"}),
        ("extract", {"model_of": "first-1", "release_id": "drawn-1"}),
    ]


def test_a_source_that_is_not_there_stops_the_first_task_with_an_error_line(story):
    assert story.states["nowhere-1"] == "failed" and story.tasks["nowhere-1"]["check_source"] == (
        "failed",
        1,
    )
    assert any("there is nothing at" in line and "nowhere" in line for line in story.error_lines), (
        story.error_lines
    )
    assert story.entries["nowhere-1"] == story.entries["first-1"]


def test_the_next_extract_composes_with_the_first(story):
    assert story.states["second-1"] == "success", _said(story)
    assert story.entries["second-1"] == [
        *story.entries["first-1"],
        *((kind, "second-1") for kind in ("reserved", "training", "trained", "released")),
    ]
    balance = Ledger(story.home.ledger).balance(POPULATION)
    assert balance.n_releases == 2 and 0 < balance.spent_rdp <= balance.limit_rdp


def test_a_person_approved_the_second_though_it_could_approve_itself_and_this_is_noted(
    story,
):
    assert story.who_approves == {"first-1": BY_ITSELF, "second-1": BY_A_PERSON}
    assert story.tasks["second-1"]["approval"][0] == "success"
    approval = json.loads(story.home.workspace("second-1").restricted.approval.read_text())
    assert approval["approved"] and not approval["self_approved"] and approval["by"] == CUSTODIAN
    assert story.refused_answer == 403  # of the user who had started it, an admin
    card = json.loads((story.home.published / "second-1" / "card.json").read_text())
    assert card["approval"]["by"] == "a custodian"
    told = {
        name: json.loads((story.home.published / name / "manifest.json").read_text())[
            "self_approved"
        ]
        for name in ("first-1", "second-1")
    }
    assert told == {"first-1": True, "second-1": False}


def test_a_request_is_started_once_and_runs_for_who_asked(story):
    assert story.refused_again == 409
    assert story.tasks["requested"] == {
        "check": ("success", 1),
        "train": ("skipped", 1),
        "draw": ("success", 1),
    }
    who = {
        name: json.loads(story.home.workspace(name).restricted.run.read_text())["asked_by"]
        for name in ("second-1", "drawn-1")
    }
    assert who == {"second-1": processes.USER, "drawn-1": ASKER}


def test_a_draw_is_free(story):
    assert story.states["drawn-1"] == "success", _said(story)
    assert story.entries["drawn-1"] == story.entries["second-1"]
    assert (
        json.loads((story.home.published / "drawn-1" / "manifest.json").read_text())["drawn_from"]
        == "first-1"
    )


def test_a_low_budget_is_the_one_pink_task_and_stops_nothing(story):
    assert story.states["second-1"] == "success"
    assert {
        task: state for task, (state, _) in story.tasks["second-1"].items() if state != "success"
    } == {"enough_budget": "skipped"}
    for task in ("reserve", "enough_budget"):
        assert any(
            line.startswith(f"second-1 {task}:") and "LOW BUDGET" in line and POPULATION in line
            for line in story.log
        )
        assert not any(
            line.startswith(f"first-1 {task}:") and "LOW BUDGET" in line for line in story.log
        )


def test_the_budget_report_is_on_disk_and_in_mlflow(story):
    assert story.states["report-1"] == "success", _said(story)
    figures = json.loads((story.home.budget_report.figures).read_text())["populations"][POPULATION]
    assert figures["releases"] == {"reserved": 0, "released": 2, "abandoned": 0}
    client = tracking.client_of(story.home)
    [run] = client.search_runs(
        [client.get_experiment_by_name(tracking.BUDGET_EXPERIMENT).experiment_id]
    )
    assert run.data.tags["chain_head"] == Ledger(story.home.ledger).chain_head()


def test_only_the_answer_of_a_person_went_through_xcom(story):
    asking = {"approval", "needs_approval", "confirmation", "needs_confirmation"}
    starting = {"train", "draw"}  # of a request: id and address of the run that it starts
    assert {entry.split()[0] for entry in story.xcoms} <= asking | starting, story.xcoms


def test_the_form_refuses_a_negative_epsilon(story):
    assert "epsilon" in story.refused_form


def test_everything_stops(story):
    assert story.left_over == []
    assert processes.running_services(story.home) == {}
