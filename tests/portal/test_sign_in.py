"""Who gets in: invitations, passwords, locks, sessions, forms of other sites."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pipeline.refusal import Refusal
from portal.shared import accounts, database, sessions, sign_in
from portal.shared.tables import accounts as table
from portal.shared.tables import actions, invitations
from portal.shared.tables import sessions as session_table

NEW = "another good password"


def invite(portal, role="researcher", email="ann@example.org"):
    app = portal.public if role == "researcher" else portal.custodian
    with app.state.engine.begin() as c:
        return accounts.invite(c, email, role, "admin@localhost")


def test_an_invitation_makes_one_account(portal):
    token, ann = invite(portal), portal.visitor()
    assert "ann@example.org" in ann.get(f"/invitation/{token}").text
    answer = ann.post(f"/invitation/{token}", name="Ann <b>", password=NEW)
    assert answer.status_code == 303
    assert "Ann &lt;b&gt;" in ann.get("/account").text
    other = portal.visitor()
    assert other.get(f"/invitation/{token}").status_code == 400
    assert other.post(f"/invitation/{token}", name="Bob", password=NEW).status_code == 400


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [("Ann", "short", "12 to 200"), ("Ann", "x" * 201, "12 to 200"), (" ", NEW, "your name")],
)
def test_a_form_that_does_not_fit_keeps_the_invitation(portal, name, password, words):
    token, ann = invite(portal), portal.visitor()
    ann.get(f"/invitation/{token}")
    answer = ann.post(f"/invitation/{token}", name=name, password=password)
    assert answer.status_code == 400 and words in answer.text
    assert ann.post(f"/invitation/{token}", name="Ann", password=NEW).status_code == 303


def test_an_old_invitation_is_refused(portal):
    token = invite(portal)
    with portal.public.state.engine.begin() as c:
        c.execute(sa.update(invitations).values(expires_at=database.now() - 1))
    assert portal.visitor().get(f"/invitation/{token}").status_code == 400


def test_a_second_invitation_replaces_the_first(portal):
    first, second = invite(portal), invite(portal, email=" ANN@example.org ")
    assert portal.visitor().get(f"/invitation/{first}").status_code == 400
    assert portal.visitor().get(f"/invitation/{second}").status_code == 200


@pytest.mark.parametrize("email", ["", "ann", "a b@c", "a@b@c,", "x" * 250 + "@abc.de"])
def test_what_is_no_address_is_not_invited(portal, email):
    with pytest.raises(Refusal, match="no e-mail address"):
        invite(portal, email=email)


def test_five_wrong_passwords_lock_an_account(portal):
    email, visitor = portal.account("researcher"), portal.visitor()
    answers = [visitor.sign_in(email, "wrong password").status_code for _ in range(5)]
    assert answers == [401] * 5
    assert visitor.sign_in(email).status_code == 401
    with portal.public.state.engine.begin() as c:
        c.execute(sa.update(table).values(locked_until=database.now() - 1))
    assert visitor.sign_in(email).status_code == 303


def test_a_right_password_forgets_the_wrong_ones(portal):
    email, visitor = portal.account("researcher"), portal.visitor()
    for _ in range(3):
        for _ in range(4):
            visitor.sign_in(email, "wrong password")
        assert visitor.sign_in(email).status_code == 303
        visitor = portal.visitor()


def test_unknown_closed_and_wrong_are_told_the_same(portal):
    email = portal.account("researcher")
    closed = portal.account("researcher", "closed@example.org")
    with portal.public.state.engine.begin() as c:
        number = c.scalar(sa.select(table.c.id).where(table.c.email == closed))
        accounts.disable(c, number)
    texts = set()
    for address, password in ((email, "wrong password"), ("no@body", NEW), (closed, None)):
        answer = portal.visitor().sign_in(address, password or "a long enough password")
        assert answer.status_code == 401
        texts.add(answer.text[answer.text.index('role="alert"') :].split("</p>")[0])
    assert len(texts) == 1


def test_staff_and_researchers_have_doors_of_their_own(portal):
    staff, researcher = portal.account("custodian"), portal.account("researcher")
    assert portal.visitor("public").sign_in(staff).status_code == 401
    assert portal.visitor("custodian").sign_in(researcher).status_code == 401


def test_a_session_of_one_process_is_nothing_to_the_other(portal):
    visitor, other = portal.somebody("researcher"), portal.visitor("custodian")
    (cookie,) = [c for c in visitor.client.cookies.jar if c.name == "syndasera_public"]
    other.client.cookies.set("syndasera_custodian", cookie.value)
    assert other.get("/account").status_code == 303


def test_cookies_are_for_the_server_alone(portal):
    email, visitor = portal.account("researcher"), portal.visitor()
    header = visitor.sign_in(email).headers["set-cookie"].lower()
    assert "httponly" in header and "samesite=lax" in header


@pytest.mark.parametrize("column", ["seen_at", "created_at"])
def test_a_session_ends(portal, column):
    visitor = portal.somebody("researcher")
    assert visitor.get("/account").status_code == 200
    with portal.public.state.engine.begin() as c:
        seconds = sessions.LONGEST_SECONDS + 1
        c.execute(sa.update(session_table).values({column: database.now() - seconds}))
    assert visitor.get("/account").status_code == 303


def test_signing_out_ends_the_session_on_the_server(portal):
    visitor = portal.somebody("researcher")
    kept = {c.name: c.value for c in visitor.client.cookies.jar}
    visitor.get("/account")
    assert visitor.post("/sign-out").status_code == 303
    thief = portal.visitor()
    for name, value in kept.items():
        thief.client.cookies.set(name, value)
    assert thief.get("/account").status_code == 303


def test_a_new_password_ends_other_sessions(portal):
    here = portal.somebody("researcher")
    there = portal.visitor()
    there.sign_in("researcher@example.org")
    here.get("/account")
    assert here.post("/account", old="wrong", new=NEW).status_code == 400
    here.get("/account")
    assert here.post("/account", old="a long enough password", new=NEW).status_code == 200
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 303
    assert portal.visitor().sign_in("researcher@example.org", NEW).status_code == 303


@pytest.mark.parametrize("token", ["", "wrong", None])
def test_a_form_without_our_token_is_refused(portal, token):
    visitor = portal.somebody("researcher")
    fields = {} if token is None else {"csrf": token}
    assert visitor.client.post("/sign-out", data=fields).status_code == 403
    assert visitor.get("/account").status_code == 200


def test_nobody_signs_somebody_in_from_another_site(portal):
    email, visitor = portal.account("researcher"), portal.visitor()
    fields = {"email": email, "password": "a long enough password"}
    assert visitor.client.post("/sign-in", data=fields).status_code == 403
    token = visitor.token()
    answer = visitor.client.post(
        "/sign-in", data={**fields, "csrf": token}, headers={"origin": "https://elsewhere.org"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path", ["https://x.org", "//x.org", "/\\x.org", "javascript:alert(1)", "/a\r\nb", "x"]
)
def test_the_way_back_stays_inside(path):
    assert sign_in.inside(path) == "/"


def test_the_way_back_is_kept(portal):
    email, visitor = portal.account("researcher"), portal.visitor()
    where = visitor.get("/account?x=1").headers["location"]
    assert where == "/sign-in?next=%2Faccount%3Fx%3D1"
    visitor.get(where)
    answer = visitor.post(
        "/sign-in", email=email, password="a long enough password", next="/account?x=1"
    )
    assert answer.headers["location"] == "/account?x=1"


def test_what_was_done_is_noted_without_what_was_typed(portal):
    email, visitor = portal.account("researcher"), portal.visitor()
    visitor.sign_in(email, "a secret of mine")
    visitor.sign_in(email)
    with portal.public.state.engine.begin() as c:
        rows = c.execute(sa.select(actions)).all()
    assert [(row.email, row.action) for row in rows] == [
        ("", "was refused to sign in"),
        (email, "signed in"),
    ]
    assert "a secret of mine" not in str(rows)


def test_the_databases_keep_neither_passwords_nor_tokens(portal):
    visitor = portal.somebody("researcher")
    token = invite(portal, email="bob@example.org")
    cookie = next(c.value for c in visitor.client.cookies.jar if c.name == "syndasera_public")
    data = b"".join(p.read_bytes() for p in portal.home.state.rglob("*") if p.is_file())
    for secret in ("a long enough password", token, cookie):
        assert secret.encode() not in data


def test_the_first_account_is_an_administrator(portal, make_portal):
    import json

    secret = json.loads((portal.home.state / "secrets.json").read_text())["portal_password"]
    assert portal.visitor("custodian").sign_in("admin@localhost", secret).status_code == 303
    again = make_portal()
    with again.custodian.state.engine.begin() as c:
        assert c.scalar(sa.select(sa.func.count()).select_from(table)) == 1
