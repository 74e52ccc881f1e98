"""Sign-in through an organisation, against a provider that runs in the test."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import sqlalchemy as sa
from joserfc.jwk import ECKey
from organisation_cases import CLIENT, SECRET, running

from pipeline.portal_params import SignInParams
from pipeline.refusal import Refusal
from portal.shared import accounts, database
from portal.shared.organisations.settings import Organisation, organisations_of
from portal.shared.tables import accounts as table
from portal.shared.tables import actions, attempts, invitations

ANN = "ann@example.org"


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def trust(portal, server):
    """An organisation that both processes know."""
    one = Organisation(
        id="trust",
        name="Example Trust",
        issuer=server.address,
        client_id=CLIENT,
        domains=("example.org",),
    )
    for app in (portal.public, portal.custodian):
        app.state.organisations = (one,)
        app.state.pages.globals["organisations"] = (one,)
        secret = portal.home.sign_in_secret(app.state.process, "trust")
        secret.parent.mkdir(parents=True)
        secret.write_text(f"{SECRET}\n")
    return one


def invite(portal, role="researcher", email=ANN):
    app = portal.public if role == "researcher" else portal.custodian
    with app.state.engine.begin() as c:
        accounts.invite(c, email, role, "admin@localhost")


def leave(visitor, next="/"):
    """To the provider: the address."""
    answer = visitor.get(f"/sign-in/with/trust?next={next}")
    assert answer.status_code == 303
    return answer.headers["location"]


def agree(address):
    """The person agrees there: the path of the way back."""
    answer = requests.get(address, allow_redirects=False, timeout=10)
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def enter(visitor, next="/"):
    return visitor.get(agree(leave(visitor, next)))


def signed_in(visitor):
    return visitor.get("/account").status_code == 200


def test_who_is_invited_gets_an_account_and_comes_back_to_it(portal, server, trust):
    invite(portal)
    ann = portal.visitor()
    assert "Example Trust" in ann.get("/sign-in").text
    answer = enter(ann, "/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    page = ann.get("/account").text
    assert "Ann Example" in page and "researcher" in page and "Example Trust" in page
    server.person["email"] = "new-name@elsewhere.org"  # the subject is the person, not the address
    again = portal.visitor()
    enter(again)
    assert ANN in again.get("/account").text
    with portal.public.state.engine.begin() as c:
        row = c.execute(sa.select(table)).one()
        assert (row.subject, row.password) == (f"{server.address}|248", None)
        assert not c.execute(sa.select(attempts)).all()
        assert {one.action for one in c.execute(sa.select(actions))} == {"signed in"}


def test_without_a_secret_the_verifier_is_enough(portal, server, trust):
    portal.home.sign_in_secret("public", "trust").unlink()
    server.secret = None
    invite(portal)
    ann = portal.visitor()
    enter(ann)
    assert signed_in(ann)


def test_name_and_address_may_be_in_userinfo_alone(portal, server, trust):
    server.only_userinfo = True
    invite(portal)
    ann = portal.visitor()
    enter(ann)
    assert "Ann Example" in ann.get("/account").text


def test_staff_come_by_invitation_with_its_role(portal, server, trust):
    stranger = portal.visitor("custodian")
    assert "nobody has invited" in enter(stranger).text.lower()
    invite(portal, "auditor")
    ann = portal.visitor("custodian")
    enter(ann)
    assert "auditor" in ann.get("/account").text


def test_an_open_organisation_needs_no_invitation(portal, server, trust):
    portal.public.state.organisations = (replace(trust, is_open=True),)
    ann = portal.visitor()
    enter(ann)
    assert "researcher" in ann.get("/account").text


@pytest.mark.parametrize(
    "change",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "yes"},
        {"email": "ann@elsewhere.org"},
        {"email": "ann@example.org.elsewhere.org"},
        {"email": None},
    ],
)
def test_an_address_that_is_not_believed_gets_nothing(portal, server, trust, change):
    portal.public.state.organisations = (replace(trust, is_open=True),)
    invite(portal)
    invite(portal, email="ann@elsewhere.org")
    server.wrong = change
    server.person = {**server.person, **change}
    ann = portal.visitor()
    assert enter(ann).status_code == 400 and not signed_in(ann)
    with portal.public.state.engine.begin() as c:
        assert not c.execute(sa.select(table)).all()
        assert not c.execute(sa.select(invitations).where(invitations.c.used_at.isnot(None))).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://elsewhere.org"},
        {"iss": None},
        {"aud": "another client"},
        {"aud": [CLIENT, "another"]},  # for two, and not said for which
        {"azp": "another client"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"sub": None},
        {"at_hash": "wrong"},
    ],
)
def test_a_token_that_is_not_as_it_has_to_be_is_refused(portal, server, trust, wrong):
    invite(portal)
    server.wrong = wrong
    ann = portal.visitor()
    answer = enter(ann)
    assert answer.status_code == 400 and "did not work" in answer.text
    assert not signed_in(ann)


@pytest.mark.parametrize("fault", ["key", "unsigned", "description", "secret"])
def test_a_provider_that_is_another_is_refused(portal, server, trust, fault, caplog):
    invite(portal)
    ann = portal.visitor()
    where = agree(leave(ann))
    if fault == "key":
        server.signs_with = ECKey.generate_key("P-256")
    elif fault == "unsigned":
        server.is_unsigned = True
    elif fault == "description":
        server.says_issuer = "https://elsewhere.org"
    else:
        portal.home.sign_in_secret("public", "trust").write_text("wrong")
    assert ann.get(where).status_code == 400 and not signed_in(ann)
    assert "trust" in caplog.text and ANN not in caplog.text


def test_a_code_without_its_verifier_is_nothing(portal, server, trust):
    invite(portal)
    ann, code = portal.visitor(), ""
    stolen = parse_qs(urlsplit(agree(leave(portal.visitor()))).query)["code"][0]
    where = agree(leave(ann))
    code = parse_qs(urlsplit(where).query)["code"][0]
    assert ann.get(where.replace(code, stolen)).status_code == 400 and not signed_in(ann)


def test_an_answer_is_of_the_browser_that_asked_and_counts_once(portal, server, trust):
    invite(portal)
    ann, thief = portal.visitor(), portal.visitor()
    where = agree(leave(ann))
    leave(thief)
    assert thief.get(where).status_code == 400 and not signed_in(thief)
    assert ann.get(where).status_code == 303
    assert ann.get(where).status_code == 400


def test_state_issuer_and_time_are_checked(portal, server, trust):
    invite(portal)
    ann = portal.visitor()
    where = agree(leave(ann))
    query = parse_qs(urlsplit(where).query)
    assert ann.get(where.replace(query["state"][0], "another")).status_code == 400
    assert ann.get("/sign-in/with/trust/answer?error=access_denied").status_code == 400
    assert ann.get(agree(leave(ann)) + "x").status_code == 400  # the issuer stands last
    where = agree(leave(ann))
    with portal.public.state.engine.begin() as c:
        c.execute(sa.update(attempts).values(expires_at=database.now()))
    assert ann.get(where).status_code == 400 and not signed_in(ann)


def test_an_account_with_a_password_is_not_taken_over(portal, server, trust):
    portal.account("researcher", ANN)
    ann = portal.visitor()
    assert "has an account already" in enter(ann).text and not signed_in(ann)


def test_a_closed_account_stays_closed(portal, server, trust):
    invite(portal)
    ann = portal.visitor()
    enter(ann)
    with portal.public.state.engine.begin() as c:
        accounts.disable(c, c.scalar(sa.select(table.c.id)))
    again = portal.visitor()
    assert "closed" in enter(again).text and not signed_in(again) and not signed_in(ann)


def test_an_account_without_a_password_has_no_door_for_one(portal, server, trust):
    invite(portal)
    enter(portal.visitor())
    assert portal.visitor().sign_in(ANN).status_code == 401


def test_no_way_leads_to_another_site(portal, server, trust):
    invite(portal)
    assert enter(portal.visitor(), "//elsewhere.org").headers["location"] == "/"
    assert portal.visitor().get("/sign-in/with/nobody").status_code == 404


def test_a_provider_that_is_away_is_said(portal, trust, server):
    portal.public.state.organisations = (replace(trust, issuer="http://127.0.0.1:9"),)
    answer = portal.visitor().get("/sign-in/with/trust")
    assert answer.status_code == 400 and "did not work" in answer.text


def test_too_many_open_attempts_are_refused(portal, server, trust, monkeypatch):
    monkeypatch.setattr("portal.shared.organisations.attempts.MOST_OPEN", 1)
    leave(portal.visitor())
    assert portal.visitor().get("/sign-in/with/trust").status_code == 400


GOOD = {
    "id": "trust",
    "name": "Example Trust",
    "issuer": "https://id.example.org",
    "client_id": "portal",
    "domains": ["Example.org"],
}


def test_settings_name_organisations():
    (one,) = organisations_of(SignInParams(public=[GOOD]), "public")
    assert one.domains == ("example.org",) and not one.is_open
    assert organisations_of(SignInParams(), "custodian") == ()


@pytest.mark.parametrize(
    ("process", "change", "words"),
    [
        ("public", {"issuer": "http://id.example.org"}, "https"),
        ("public", {"id": "a/b"}, "id 'a/b'"),
        ("public", {"domains": []}, "domains"),
        ("public", {"domains": "example.org"}, "domains"),
        ("public", {"domains": ["*"]}, "domains"),
        ("public", {"secret": "x"}, "an organisation has"),
        ("custodian", {"is_open": True}, "by invitation alone"),
    ],
)
def test_settings_that_do_not_fit_are_refused(process, change, words):
    with pytest.raises(Refusal, match=words):
        organisations_of(SignInParams(**{process: [{**GOOD, **change}]}), process)
    with pytest.raises(Refusal, match="twice"):
        organisations_of(SignInParams(public=[GOOD, GOOD]), "public")
    with pytest.raises(Refusal, match="a list"):
        SignInParams(public="trust")
