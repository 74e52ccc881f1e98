"""Either side is killed, with a server of HTTP for Airflow and a process for the bridge."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from request_cases import MODEL, ask, publish, told

from pipeline.catalog import project_root
from pipeline.services.airflow_api import AirflowApi, AirflowRefusal
from portal.custodian.bridge import Bridge

LOOK = """
import sys
from pipeline.catalog import Home
from pipeline.services.airflow_api import AirflowApi
from portal.custodian.bridge import Bridge
from portal.shared.database import open_database
from portal.shared.tables import EXCHANGE, IDENTITY
home = Home.find()
engine = open_database(home.custodian_database, IDENTITY)
exchange = open_database(home.portal_database, EXCHANGE)
Bridge(home, engine, exchange, AirflowApi(sys.argv[1], "portal", "password")).look()
"""


class MadeUpServer(ThreadingHTTPServer):
    """The part of Airflow's API v2 that the bridge uses. `hold`: it starts a run, says so by
    `started`, and lets whoever asked wait for the answer.
    """

    daemon_threads = True

    def __init__(self, runs: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs, self.posts, self.tokens = runs, 0, 0
        self.valid = "token 1"
        self.hold, self.started, self.go_on = False, threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: MadeUpServer

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _is_signed_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.server.valid}"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            self.server.tokens += 1
            return self._say(201, {"access_token": self.server.valid})
        if not self._is_signed_in():
            return self._say(401, {})
        self.server.posts += 1
        run = body["dag_run_id"]
        if run in self.server.runs:
            return self._say(409, {"detail": "exists"})
        self.server.runs[run] = "running"
        if self.server.hold:
            self.server.started.set()
            self.server.go_on.wait()
        return self._say(200, {"dag_run_id": run})

    def do_GET(self) -> None:
        if not self._is_signed_in():
            return self._say(401, {})
        run = unquote(self.path.partition("/dagRuns/")[2].partition("/")[0])
        if run not in self.server.runs or not self.path.startswith("/api/v2/dags/request/"):
            return self._say(404, {})
        if self.path.endswith("/taskInstances"):
            return self._say(200, {"task_instances": [{"task_id": "check", "state": "running"}]})
        return self._say(200, {"state": self.server.runs[run]})


@pytest.fixture
def server() -> Iterator[MadeUpServer]:
    made = MadeUpServer({})
    yield made
    made.close()


@pytest.fixture
def number(at_home) -> str:
    publish(at_home.home, MODEL)
    return ask(at_home.somebody("researcher"))


def bridge(portal, address: str) -> Bridge:
    state = portal.custodian.state
    api = AirflowApi(address, "portal", "password", patience=5)
    return Bridge(state.home, state.engine, state.exchange, api)


def test_a_bridge_that_is_killed_while_it_starts_a_run_starts_it_once(at_home, server, number):
    server.hold = True
    process = subprocess.Popen([sys.executable, "-c", LOOK, server.address], cwd=project_root())
    assert server.started.wait(120)
    process.kill()
    process.wait()
    server.hold = False
    server.go_on.set()
    bridge(at_home, server.address).look()
    assert server.runs == {number: "running"} and server.posts == 2
    assert told(at_home, number).stage == "checking the request"
    bridge(at_home, server.address).look()
    assert server.posts == 2


def test_an_airflow_that_is_killed_and_comes_back_is_followed_again(at_home, server, number):
    bridge(at_home, server.address).look()
    second = MadeUpServer(server.runs)
    follower = bridge(at_home, server.address)
    server.close()
    follower.look()
    assert told(at_home, number).state == "in progress"
    server.runs[number] = "failed"
    bridge(at_home, second.address).look()
    assert told(at_home, number).state == "stopped"
    second.close()


def test_a_token_that_grew_old_is_replaced(server):
    api = AirflowApi(server.address, "portal", "password")
    api.trigger("request", {}, run_id="one")
    server.valid = "token 2"
    assert api.run_state("request", "one") == "running"
    assert server.tokens == 2


def test_a_password_that_is_wrong_is_not_tried_for_ever(server, monkeypatch):
    monkeypatch.setattr(Handler, "_is_signed_in", lambda _: False)
    with pytest.raises(AirflowRefusal) as refusal:
        AirflowApi(server.address, "portal", "password").run_state("request", "one")
    assert refusal.value.status == 401 and server.tokens == 1
