"""Waiting until services answer, aloud."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline import environment
from pipeline.catalog import Home
from pipeline.cli.console import say
from pipeline.services import airflow_server, processes
from pipeline.services.airflow_api import AirflowApi

DAGS = ("refresh", "draw", "request", "declare_source", "budget_report", "tidy", "watch")
WORD_SECONDS = 15.0  # between two words of somebody who waits


def airflow_api(home: Home) -> AirflowApi:
    return AirflowApi(
        airflow_server.airflow_address(), processes.USER, processes.secret(home, "airflow_password")
    )


def wait_for_airflow(home: Home) -> AirflowApi:
    """Waits until Airflow is healthy and knows our DAGs; says what it waits for."""
    api = airflow_api(home)
    names = [service.name for service in airflow_server.airflow_services(home)]
    say(f"Waiting for Airflow at {api.address} (about half a minute)")
    processes.wait_for(
        home,
        _aloud(api.is_healthy, "Airflow"),
        names,
        lambda: api.health() or processes.log_size(home, "airflow-api-server"),
    )
    say("Waiting until Airflow has read the DAGs")
    processes.wait_for(
        home,
        _aloud(lambda: all(_dag_presence(api)) or _no_errors(api), "the DAGs"),
        names,
        lambda: _dag_presence(api),
    )
    return api


def _dag_presence(api: AirflowApi) -> list[bool]:
    """Which of our DAGs Airflow has read."""
    return [api.has_dag(dag) for dag in DAGS]


def wait_for_port(home: Home, name: str, service: str, port: int) -> None:
    """Waits until a service listens; says what it waits for."""
    say(f"Waiting for {name} on port {port}")
    processes.wait_for(
        home,
        _aloud(lambda: not processes.port_is_free(port), name),
        [service],
        lambda: processes.log_size(home, service),
    )


def wait_for_portal(home: Home) -> None:
    """Waits until both processes of the portal listen."""
    wait_for_port(home, "the portal", "portal-public", environment.portal_port())
    wait_for_port(home, "the staff's portal", "portal-custodian", environment.custodian_port())


def _aloud(is_ready: Callable[[], bool], name: str) -> Callable[[], bool]:
    """The same question, which says every WORD_SECONDS that the answer is still no."""
    begin = last = time.monotonic()

    def ask() -> bool:
        nonlocal last
        answer, now = is_ready(), time.monotonic()
        if not answer and now - last > WORD_SECONDS:
            last = now
            say(f"  still waiting for {name}, {now - begin:.0f} s")
        return answer

    return ask


def _no_errors(api: AirflowApi) -> bool:
    """False, or RuntimeError where a DAG file does not load: then there is nothing to wait for."""
    if errors := api.errors():
        raise RuntimeError(f"a DAG file does not load: {errors[0].strip().splitlines()[-1]}")
    return False
