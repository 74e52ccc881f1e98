"""The portal on PostgreSQL: the same pages, the same answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import release_cases
import sqlalchemy as sa
from request_cases import MODEL, ask, declare_source, publish, told

from pipeline import environment
from pipeline.refusal import Refusal
from portal.custodian.people import changes
from portal.shared import accounts, database
from portal.shared.organisations import attempts
from portal.shared.tables import IDENTITY, actions


@pytest.fixture
def portal(postgres, monkeypatch, make_portal):
    """Both applications on two databases of a real server."""
    server = sa.create_engine(
        sa.make_url(postgres).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with server.connect() as c:
        for name in ("portal_public", "portal_custodian"):
            c.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            c.execute(sa.text(f"CREATE DATABASE {name}"))
    server.dispose()
    for variable, name in (
        (environment.PORTAL_VARIABLE, "portal_public"),
        (environment.CUSTODIAN_VARIABLE, "portal_custodian"),
    ):
        url = sa.make_url(postgres).set(database=name).render_as_string(hide_password=False)
        monkeypatch.setenv(variable, url)
    portal = make_portal()
    yield portal
    for engine in (
        portal.public.state.engine,
        portal.custodian.state.engine,
        portal.custodian.state.exchange,
    ):
        engine.dispose()


def test_accounts_sessions_and_locks_are_the_same_on_postgresql(portal):
    with portal.public.state.engine.begin() as c:
        assert c.dialect.name == "postgresql"
        token = accounts.invite(c, "ann@example.org", "researcher", "admin@localhost")
    ann = portal.visitor()
    ann.get(f"/invitation/{token}")
    assert ann.post(f"/invitation/{token}", name="Ann", password="x" * 12).status_code == 303
    assert ann.get("/account").status_code == 200
    ann.post("/sign-out")
    for _ in range(accounts.FAILURES):
        assert ann.sign_in("ann@example.org", "wrong").status_code == 401
    assert ann.sign_in("ann@example.org", "x" * 12).status_code == 401
    with portal.public.state.engine.begin() as c:
        assert c.scalar(sa.select(sa.func.count()).select_from(actions)) == 8


def test_staff_are_in_the_other_database(portal):
    assert portal.somebody("custodian").get("/account").status_code == 200
    with portal.public.state.engine.begin() as c:
        assert accounts.by_email(c, "custodian@example.org") is None


def test_uses_and_the_log_are_the_same_on_postgresql(portal):
    release_cases.publish(portal.home, "first-1")
    ann, auditor = portal.somebody("researcher"), portal.somebody("auditor")
    answer = ann.post("/uses", release="first-1", purpose="Testing of code", named="yes")
    assert answer.status_code == 303
    assert "Testing of code" in portal.visitor().get("/uses?release=first-1").text
    assert "noted a use" in auditor.get("/audit/actions?person=RESEARCHER@&since=2000-01-01").text
    assert ann.post("/uses/1/remove").status_code == 303


def test_an_attempt_at_an_organisation_counts_once_on_postgresql(portal):
    with portal.public.state.engine.begin() as c:
        tokens, attempt = attempts.begin(c, "trust", "/")
        assert attempts.take(c, "trust", tokens) == attempt
        assert attempts.take(c, "trust", tokens) is None


def test_of_two_who_close_each_other_at_once_one_stays(portal):
    portal.account("administrator", "boss@example.org")
    engine = portal.custodian.state.engine
    with engine.connect() as c, ThreadPoolExecutor() as threads:
        first, own = (
            accounts.by_email(c, email).id for email in ("admin@localhost", "boss@example.org")
        )
        changes.close(c, first)
        other = threads.submit(close_in_a_transaction, engine, own)  # waits for the commit
        with pytest.raises(TimeoutError):
            other.result(timeout=0.3)
        c.commit()
        with pytest.raises(Refusal, match="last administrator"):
            other.result(timeout=60)


def close_in_a_transaction(engine, number):
    with engine.begin() as c:
        changes.close(c, number)


def test_a_request_is_asked_for_decided_and_followed_the_same_on_postgresql(at_home):
    publish(at_home.home, MODEL)
    declare_source(at_home.home, "adult")
    ann, custodian = at_home.somebody("researcher"), at_home.somebody("custodian")
    draw, training = ask(ann), ask(ann, "dataset=adult")
    bridge, airflow = at_home.custodian.state.bridge, at_home.custodian.state.airflow
    bridge.look()
    page = custodian.get(f"/requests/{training}").text
    sight = page.partition('name="sight" value="')[2].partition('"')[0]
    assert custodian.post(f"/requests/{training}/approve", sight=sight).status_code == 303
    airflow.stands(draw, "draw", "sample")
    bridge.look()
    assert told(at_home, draw).stage == "drawing patients"
    airflow.ends(draw, "failed")
    bridge.look()
    bridge.tick(0)
    assert [told(at_home, number).state for number in (draw, training)] == [
        "stopped",
        "in progress",
    ]
    assert custodian.get("/requests").status_code == ann.get("/requests").status_code == 200


def test_another_kind_of_database_is_refused():
    with pytest.raises(Refusal, match="PostgreSQL"):
        database.open_database("mysql://host/name", IDENTITY)
