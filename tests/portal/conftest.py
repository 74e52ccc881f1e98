"""Both processes of the portal on a home of their own, and browsers without a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from httpx import Response
from people_cases import PASSWORD
from request_cases import MadeUpAirflow
from starlette.testclient import TestClient

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from portal.custodian.app import make_app as make_custodian
from portal.custodian.bridge import Bridge
from portal.public.app import make_app as make_public
from portal.shared import accounts

CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Visitor:
    """Somebody who opens pages of one process, signed in or not."""

    client: TestClient
    last: str = ""

    def get(self, path: str, **options: object) -> Response:
        answer = self.client.get(path, follow_redirects=False, **options)
        self.last = answer.text
        return answer

    def token(self) -> str:
        """The token of a form on a page that everybody may open."""
        found = CSRF.search(self.last) or CSRF.search(self.get("/sign-in").text)
        assert found
        return found[1]

    def post(self, path: str, **fields: object) -> Response:
        """Sends a form as our pages would."""
        fields = {"csrf": self.token(), **fields}
        answer = self.client.post(path, data=fields, follow_redirects=False)
        if CSRF.search(answer.text):
            self.last = answer.text
        return answer

    def sign_in(self, email: str, password: str = PASSWORD) -> Response:
        self.get("/sign-in")
        answer = self.post("/sign-in", email=email, password=password)
        self.last = ""
        return answer


@dataclass
class Portal:
    """The two applications on one home."""

    home: Home
    public: FastAPI
    custodian: FastAPI

    def visitor(self, process: str = "public") -> Visitor:
        app = getattr(self, process)
        return Visitor(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))

    def account(self, role: str, email: str | None = None) -> str:
        """Makes an account of a role; its address."""
        email = email or f"{role}@example.org"
        app = self.public if role in accounts.PUBLIC_ROLES else self.custodian
        with app.state.engine.begin() as c:
            accounts.create(
                c, email=email, name=role.title(), organisation="", role=role, password=PASSWORD
            )
        return email

    def somebody(self, role: str, email: str | None = None) -> Visitor:
        """Somebody of this role, signed in."""
        visitor = self.visitor("public" if role in accounts.PUBLIC_ROLES else "custodian")
        assert visitor.sign_in(self.account(role, email)).status_code == 303
        return visitor


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least work: the tests are not about its strength."""
    monkeypatch.setattr(accounts, "HASHER", PasswordHasher(1, 8, 1))
    accounts._nobody.cache_clear()


@pytest.fixture
def make_portal(tmp_path: Path) -> Callable[[], Portal]:
    """Makes both applications on the same home, as a start of the processes does."""

    def make() -> Portal:
        home = Home(tmp_path / "home")
        return Portal(home, make_public(home), make_custodian(home))

    return make


@pytest.fixture
def portal(make_portal: Callable[[], Portal]) -> Iterator[Portal]:
    portal = make_portal()
    yield portal
    portal.public.state.engine.dispose()
    portal.custodian.state.engine.dispose()
    portal.custodian.state.exchange.dispose()


@pytest.fixture
def at_home(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """The portal, on a home that the pipeline's own functions find, too; its Airflow is made up."""
    monkeypatch.setenv(HOME_VARIABLE, str(portal.home.root))
    state = portal.custodian.state
    state.airflow = MadeUpAirflow()
    state.bridge = Bridge(portal.home, state.engine, state.exchange, state.airflow)
    return portal
