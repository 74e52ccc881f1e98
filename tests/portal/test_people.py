"""Administrators: invitations, closed and locked accounts, and the last of them."""

from __future__ import annotations

import re
import sys

import pytest
import sqlalchemy as sa

from pipeline import environment
from pipeline.refusal import Refusal
from portal import __main__ as command
from portal.custodian.people import changes
from portal.shared import accounts
from portal.shared.tables import accounts as table
from portal.shared.tables import actions

LINK = re.compile(r"(http://localhost:\d+)(/invitation/[\w-]+)")
PASSWORD = "a long enough password"


@pytest.fixture
def boss(portal):
    return portal.somebody("administrator", "boss@example.org")


def number_of(engine, email):
    with engine.begin() as c:
        return c.scalar(sa.select(table.c.id).where(table.c.email == email))


@pytest.mark.parametrize("role", accounts.ROLES)
def test_an_invitation_leads_into_the_process_of_its_role(portal, boss, role):
    boss.get("/people")
    page = boss.post("/people", email=" New@Example.org", role=role).text
    base, path = LINK.search(page).groups()
    process = "public" if role == "researcher" else "custodian"
    port = environment.portal_port() if process == "public" else environment.custodian_port()
    assert base == f"http://localhost:{port}"
    new = portal.visitor(process)
    assert role in new.get(path).text
    assert new.post(path, name="New", password=PASSWORD).status_code == 303
    assert f"· {role}" in new.get("/account").text
    assert not LINK.search(boss.get("/people").text), "the link is shown once"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"email": "nobody", "role": "auditor"}, "no e-mail address"),
        ({"email": "a@b.org", "role": "king"}, "is no role"),
        ({"email": "boss@example.org", "role": "auditor"}, "has an account already"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(boss, fields, words):
    boss.get("/people")
    answer = boss.post("/people", **fields)
    assert answer.status_code == 400 and words in answer.text


def test_an_invitation_is_withdrawn(portal, boss):
    boss.get("/people")
    path = LINK.search(boss.post("/people", email="new@example.org", role="auditor").text)[2]
    assert boss.post("/people/custodian/withdraw", email="new@example.org").status_code == 303
    assert portal.visitor("custodian").get(path).status_code == 400
    assert boss.post("/people/custodian/withdraw", email="new@example.org").status_code == 400


@pytest.mark.parametrize("role", ["researcher", "engineer"])
def test_a_closed_account_is_out_at_once(portal, boss, role):
    somebody, process = portal.somebody(role), "public" if role == "researcher" else "custodian"
    number = number_of(getattr(portal, process).state.engine, f"{role}@example.org")
    assert boss.post(f"/people/{process}/{number}/close").status_code == 303
    assert somebody.get("/account").status_code == 303
    assert portal.visitor(process).sign_in(f"{role}@example.org").status_code == 401
    assert "closed" in boss.get("/people").text
    assert boss.post(f"/people/{process}/{number}/reopen").status_code == 303
    assert portal.visitor(process).sign_in(f"{role}@example.org").status_code == 303


def test_a_locked_account_is_unlocked(portal, boss):
    email, visitor = portal.account("researcher"), portal.visitor()
    for _ in range(accounts.FAILURES):
        visitor.sign_in(email, "wrong password")
    assert "locked" in boss.get("/people").text
    number = number_of(portal.public.state.engine, email)
    assert boss.post(f"/people/public/{number}/unlock").status_code == 303
    assert visitor.sign_in(email).status_code == 303


def test_the_last_administrator_stays(portal, boss):
    engine = portal.custodian.state.engine
    first, own = number_of(engine, "admin@localhost"), number_of(engine, "boss@example.org")
    assert boss.post(f"/people/custodian/{first}/close").status_code == 303
    answer = boss.post(f"/people/custodian/{own}/close")
    assert answer.status_code == 400 and "last administrator" in answer.text
    assert boss.get("/people").status_code == 200


def test_of_two_who_close_each_other_one_stays(portal, boss):
    """Both have begun before either is done."""
    engine = portal.custodian.state.engine
    first, own = number_of(engine, "admin@localhost"), number_of(engine, "boss@example.org")
    with engine.connect() as one, engine.connect() as other:
        changes.everybody(one), changes.everybody(other)
        changes.close(one, first)
        one.commit()
        with pytest.raises(Refusal, match="last administrator"):
            changes.close(other, own)
        other.rollback()
    assert boss.get("/people").status_code == 200


@pytest.mark.parametrize(
    "path", ["custodian/999999/close", "public/1/unlock", "public/999999/reopen"]
)
def test_an_account_that_is_not_there_is_said(boss, path):
    assert boss.post(f"/people/{path}").status_code == 400


@pytest.mark.parametrize(
    "path", ["elsewhere/1/close", "custodian/0/close", "custodian/1/crown", f"public/{2**64}/close"]
)
def test_what_is_no_change_is_refused(boss, path):
    assert boss.post(f"/people/{path}").status_code == 400


def test_what_an_administrator_does_is_noted(portal, boss):
    boss.post("/people", email="new@example.org", role="auditor")
    boss.post("/people/custodian/withdraw", email="new@example.org")
    with portal.custodian.state.engine.begin() as c:
        rows = c.execute(sa.select(actions).where(actions.c.email == "boss@example.org")).all()
    assert [(row.action, row.subject) for row in rows][1:] == [
        ("invited", "auditor new@example.org"),
        ("withdrew an invitation", "new@example.org"),
    ]


@pytest.mark.parametrize("role", ["researcher", "auditor"])
def test_the_command_line_invites(portal, monkeypatch, capsys, role):
    monkeypatch.setattr(sys, "argv", ["portal", "invite", "--role", role, "new@example.org"])
    with environment.at_home(portal.home.root):
        assert command.main() == 0
        path = LINK.search(capsys.readouterr().out)[2]
        process = "public" if role == "researcher" else "custodian"
        assert portal.visitor(process).get(path).status_code == 200
        monkeypatch.setattr(sys, "argv", ["portal", "invite", "--role", role, "nobody"])
        assert command.main() == 2
    assert "no e-mail address" in capsys.readouterr().err


def test_the_command_line_names_the_roles_of_the_portal():
    assert accounts.ROLES == command.ROLES
