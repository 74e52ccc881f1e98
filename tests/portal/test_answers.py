"""What every answer of the portal carries, and what it says when something is wrong."""

from __future__ import annotations

import io
import logging
import os
import resource

import pytest
import requests
from serving import serving

from portal.__main__ import main
from portal.shared.limits import HEADERS, LARGEST_FORM


@pytest.mark.parametrize("path", ["/", "/nothing-here", "/static/portal.css", "/sign-in"])
def test_every_answer_carries_the_headers(portal, path):
    answer = portal.visitor().get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_pages_are_not_kept_and_the_chart_library_is(portal):
    visitor = portal.visitor()
    assert visitor.get("/").headers["cache-control"] == "no-store"
    assert "max-age" in visitor.get("/static/plotly.min.js").headers["cache-control"]


def test_a_body_that_is_too_large_is_refused(portal):
    client = portal.visitor().client
    too_much = b"x" * (LARGEST_FORM + 1)
    assert client.post("/sign-in", content=too_much).status_code == 413
    pieces = (b"csrf=" + b"x" * 65536 for _ in range(LARGEST_FORM // 65536 + 1))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/sign-in", content=pieces, headers=headers).status_code == 413


@pytest.mark.parametrize("process", ["public", "custodian"])
def test_what_is_not_there_is_said_as_asked(portal, process):
    visitor = portal.visitor(process)
    assert "There is no such page" in visitor.get("/nothing-here").text
    answer = visitor.get("/nothing-here", headers={"accept": "application/json"})
    assert answer.status_code == 404 and answer.json() == {"error": "There is no such page"}


def test_an_unexpected_error_shows_nothing_of_itself(portal, caplog):
    @portal.public.get("/fault")
    def fault() -> None:
        raise RuntimeError("patient 4711")

    answer = portal.visitor().get("/fault")
    assert answer.status_code == 500 and answer.headers["cache-control"] == "no-store"
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "4711" not in answer.text and "4711" not in caplog.text
    assert "RuntimeError" in caplog.text


def test_the_server_keeps_an_error_to_itself(portal, caplog):
    @portal.public.get("/fault")
    def fault() -> None:
        raise RuntimeError("patient 4711")

    text = io.StringIO()
    with serving(portal.public) as address:
        logging.getLogger("uvicorn").addHandler(handler := logging.StreamHandler(text))
        try:
            assert requests.get(f"{address}/fault", timeout=60).status_code == 500
        finally:
            logging.getLogger("uvicorn").removeHandler(handler)
    assert "4711" not in text.getvalue() + caplog.text
    assert "RuntimeError" in caplog.text


@pytest.fixture
def limits():
    """Of this process, as they were."""
    umask, core = os.umask(0o022), resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (core[1], core[1]))
    yield
    os.umask(umask)
    resource.setrlimit(resource.RLIMIT_CORE, core)


@pytest.mark.parametrize("process", ["public", "custodian"])
def test_a_process_by_hand_writes_for_its_owner_and_its_memory_nowhere(
    at_home, limits, monkeypatch, process
):
    def serve(_server) -> None:
        file = at_home.home.root / "file"
        file.touch()
        seen.append((file.stat().st_mode & 0o077, resource.getrlimit(resource.RLIMIT_CORE)[0]))

    seen = []
    at_home.home.root.mkdir(exist_ok=True)
    monkeypatch.setattr("uvicorn.Server.run", serve)
    monkeypatch.setattr("sys.argv", ["portal", process])
    assert main() == 0 and seen == [(0, 0)]
