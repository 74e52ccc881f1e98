"""`setup`, `up`, `down` and `run`: what a person types to see everything work."""

from __future__ import annotations

import argparse
import shutil
from datetime import date, datetime
from pathlib import Path

from pipeline import environment, night_params, params
from pipeline.catalog import TRUTH, Home
from pipeline.cli.console import say
from pipeline.cli.follow import follow
from pipeline.cli.task_log import TaskLog
from pipeline.cli.waiting import wait_for_airflow, wait_for_port, wait_for_portal
from pipeline.refusal import Refusal
from pipeline.runs import places, sources, version_stores
from pipeline.services import airflow_server, logs, mlflow_server, portal_server, processes
from pipeline.stages import STAGES

NEEDED_GB = 3.0
SIMULATED, SIMULATED_PATIENTS, SIMULATED_SEED = "simulated_pathways", 5000, 1


def setup(options: argparse.Namespace | None = None) -> None:
    """Makes what a first run needs, and says so. Idempotent. Raises Refusal where the disk is
    nearly full.
    """
    from concurrent.futures import ThreadPoolExecutor

    from pipeline.services import deployment_check, tracking

    home = Home.find()
    deployment_check.refuse_faults(home)
    home.state.mkdir(parents=True, exist_ok=True)
    home.set_modes()
    free = shutil.disk_usage(home.state).free / 1e9
    if free < NEEDED_GB:
        raise Refusal(f"the disk is nearly full: {free:.1f} GB free, a run needs {NEEDED_GB:.0f}")
    if not airflow_server.is_migrated(home) or not home.mlflow_database.is_file():
        say("Making the version stores, Airflow's database and MLflow's (once, half a minute)")
    # each is a slow start of a tool; together they take as long as the slowest
    with ThreadPoolExecutor() as pool:
        work = [
            pool.submit(version_stores.ensure, home),
            pool.submit(airflow_server.prepare_airflow, home),
        ]
        if not home.mlflow_database.is_file():
            work.append(pool.submit(tracking.ensure, home))
        for item in work:
            item.result()
    home.set_modes()


def up(options: argparse.Namespace) -> None:
    """Starts all services, waits until they answer, prints where and with which password."""
    from pipeline.services import tracking

    home = Home.find()
    processes.check_ports(home, ports())
    logs.keep_small(home, night_params.load_logs(home.params))
    setup()
    say("Bringing MLflow up to date with the runs")
    tracking.catch_up(home)
    services = [
        *airflow_server.airflow_services(home),
        *mlflow_server.mlflow_services(home),
        *portal_server.public_services(home),
        *portal_server.custodian_services(home),
    ]
    if names := processes.start(home, services):
        _say_start(home, names)
        wait_for_airflow(home)
        if "mlflow-server" in processes.running_services(home):
            wait_for_port(home, "MLflow", "mlflow-server", environment.mlflow_port())
        wait_for_portal(home)
    else:
        say("Airflow, MLflow and the portal are running already.")
    say(f"Portal   {portal_server.portal_address()}, for researchers")
    for name, address, user, secret in (
        ("Staff", portal_server.custodian_address(), "admin@localhost", "portal_password"),
        ("Airflow", airflow_server.airflow_address(), processes.USER, "airflow_password"),
        ("MLflow", mlflow_server.mlflow_address(), processes.USER, "mlflow_password"),
    ):
        say(f"{name:<8} {address}")
        say(f"         user {user}, password {processes.secret(home, secret)}")
    say(
        f"A browser that does not know {mlflow_server.MLFLOW_HOST} may say localhost; MLflow then"
        " shows its own assistant."
    )
    say("Stop all of them with `make down`.")


def ports() -> dict[str, int]:
    """Every service that listens on this host, and the port that it is given."""
    mlflow = {"mlflow-server": environment.mlflow_port()}
    return {
        "airflow-api-server": environment.airflow_port(),
        **({} if Home.find().deployment.mlflow else mlflow),
        "portal-public": environment.portal_port(),
        "portal-custodian": environment.custodian_port(),
    }


def _say_start(home: Home, names: list[str]) -> None:
    say(f"Starting {', '.join(names)}; their logs are in {home.state / 'logs'}")


def down(options: argparse.Namespace) -> None:
    stopped = processes.stop(Home.find())
    say(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def run(options: argparse.Namespace) -> int:
    """`make run` and `make refresh`: declares the source, runs the DAG `refresh` in Airflow, says
    where everything lies.
    """
    from pipeline.cli.outcome import say_outcome

    home = Home.find()
    dataset = options.dataset or params.load(home.params).release.dataset
    release_id = options.release_id or f"{dataset.replace('_', '-')}-{datetime.now():%Y%m%d-%H%M%S}"
    processes.check_ports(home, {"airflow-api-server": environment.airflow_port()})
    setup()
    declare_source(home, dataset, options)
    names = processes.start(home, airflow_server.airflow_services(home))
    try:
        if names:
            _say_start(home, names)
        api = wait_for_airflow(home)
        conf = {
            "dataset": dataset,
            "release_id": release_id,
            "epsilon": options.epsilon,
            "rows": options.rows,
        }
        run_id = api.trigger(
            "refresh", {key: value for key, value in conf.items() if value is not None}
        )
        say(
            f"Release {release_id}: Airflow runs the DAG refresh, {len(STAGES)} stages (about 5"
            " minutes for 5,000 patients on two free cores)"
        )
        say(
            f"It can be watched at {api.address}/dags/refresh/runs/{run_id} (`make up` prints the"
            " password)"
        )
        state = follow(home, api, "refresh", run_id)
        failed = [task for task in api.tasks("refresh", run_id) if task["state"] == "failed"]
    finally:
        if names:
            processes.stop(home, "airflow")
    for task in failed:
        for line in TaskLog(home, "refresh", run_id, task["task_id"], task["try_number"]).lines()[
            -5:
        ]:
            say(f"    {task['task_id']}: {line}")
    code = say_outcome(home, dataset, release_id, state)
    say_portal(home, release_id)
    return code


def say_portal(home: Home, release_id: str) -> None:
    """Starts the public process of the portal, and says where a person looks at the release."""
    try:
        processes.start(home, portal_server.public_services(home))
    except Refusal as error:
        say(f"  portal       not started: {error}")
        return
    wait_for_port(home, "the portal", "portal-public", environment.portal_port())
    page = f"/releases/{release_id}" if home.release(release_id).root.is_dir() else ""
    say(f"  look at it   {portal_server.portal_address()}{page}  (`make down` stops the portal)")


def declare_source(home: Home, dataset: str, options: argparse.Namespace) -> None:
    """Declares the source that the run reads; simulates one where none is named."""
    source = sources.get(home, dataset)
    if options.source is not None:
        path = places.resolved(options.source)
        if source is None or source.path != path or options.label:
            label = options.label or f"{dataset} {date.today()}"
            sources.declare(
                home,
                dataset,
                sources.Source(path=path, label=label, extract_date=options.extract_date),
            )
    elif dataset == SIMULATED:
        _simulate(home, source, options)
    elif source is None:
        raise Refusal(
            f"no source is declared for {dataset}: say SOURCE=..., a folder or file of its tables"
        )


def _simulate(home: Home, source: sources.Source | None, options: argparse.Namespace) -> None:
    from pipeline.simulator import command

    first = source.extract_date if source and source.extract_date else command.DEFAULT_EXTRACT
    when = options.extract_date or (_next_quarter(first) if options.next and source else first)
    patients = options.patients or (_patients_of(source) if source else SIMULATED_PATIENTS)
    out = home.simulated(f"{patients}-patients-to-{when}")
    if not (out / TRUTH).is_file():
        say(f"Simulating {patients} patients up to {when}")
        arguments = argparse.ArgumentParser()
        command.add_arguments(arguments)
        command.run(
            arguments.parse_args(
                [
                    "--patients",
                    str(patients),
                    "--seed",
                    str(SIMULATED_SEED),
                    "--out",
                    str(out),
                    "--extract-date",
                    str(when),
                ]
            )
        )
    label = f"simulation of {patients} up to {when}"  # the number is typed by a person, not counted
    sources.declare(
        home, SIMULATED, sources.Source(path=str(out.resolve()), label=label, extract_date=when)
    )


def _patients_of(source: sources.Source) -> int:
    """How many patients the declared extract was simulated with, so that the next one goes on with
    the same.
    """
    number = Path(source.path).name.partition("-")[0]
    return int(number) if number.isdigit() else SIMULATED_PATIENTS


def _next_quarter(day: date) -> date:
    """The same day three months later (the last day of the month where that month is shorter)."""
    month = day.month + 3
    year, month = day.year + (month - 1) // 12, (month - 1) % 12 + 1
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, last)
        except ValueError:
            continue
    raise Refusal(f"{day} has no day three months later")
