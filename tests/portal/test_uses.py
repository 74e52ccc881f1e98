"""The register of uses: researchers write, everybody reads."""

from __future__ import annotations

import pytest
import release_cases
import sqlalchemy as sa

from portal.public.uses import register
from portal.shared.tables import accounts, uses

PURPOSE = "Testing <b>survival</b> code before access is granted"


@pytest.fixture
def ann(portal):
    release_cases.publish(portal.home, "first-1")
    ann = portal.somebody("researcher")
    with portal.public.state.engine.begin() as c:
        c.execute(sa.update(accounts).values(organisation="Example Trust"))
    return ann


def test_a_use_is_read_by_everybody_without_the_address(portal, ann):
    answer = ann.post("/uses", release="first-1", purpose=PURPOSE, named="yes")
    assert answer.headers["location"] == "/uses?release=first-1"
    ann.post("/uses", release="first-1", purpose="Another purpose of ours")
    for path in ("/uses", "/uses?release=first-1", "/releases/first-1"):
        page = portal.visitor().get(path).text
        assert "Testing &lt;b&gt;survival" in page and "Another purpose" in page
        assert page.count("Example Trust, Researcher") == 1 and page.count("Example Trust") == 2
        assert "researcher@example.org" not in page
    assert "Another purpose" not in portal.visitor().get("/uses?release=other-1").text


@pytest.mark.parametrize("purpose", ["", "short", "x" * 1001])
def test_a_purpose_that_says_nothing_is_refused(portal, ann, purpose):
    answer = ann.post("/uses", release="first-1", purpose=purpose)
    assert answer.status_code == 400
    assert "No use is noted yet" in portal.visitor().get("/uses").text


def test_a_use_is_of_a_release_and_has_somebody(portal, ann):
    assert ann.post("/uses", release="other-1", purpose=PURPOSE).status_code == 404
    with portal.public.state.engine.begin() as c:
        c.execute(sa.update(accounts).values(organisation=""))
    assert "agree that your name" in ann.post("/uses", release="first-1", purpose=PURPOSE).text
    assert ann.post("/uses", release="first-1", purpose=PURPOSE, named="yes").status_code == 303


def test_nobody_floods_the_register(portal, ann, monkeypatch):
    monkeypatch.setattr(register, "MOST", 1)
    ann.post("/uses", release="first-1", purpose=PURPOSE)
    assert ann.post("/uses", release="first-1", purpose=PURPOSE).status_code == 400


def test_only_who_wrote_it_removes_it(portal, ann):
    ann.post("/uses", release="first-1", purpose=PURPOSE)
    with portal.public.state.engine.begin() as c:
        number = c.scalar(sa.select(uses.c.id))
    bob = portal.somebody("researcher", "bob@example.org")
    assert "/remove" not in bob.get("/uses").text
    assert bob.post(f"/uses/{number}/remove").status_code == 400
    assert f"/uses/{number}/remove" in ann.get("/uses").text
    assert ann.post(f"/uses/{number}/remove").status_code == 303
    assert "No use is noted yet" in ann.get("/uses").text


def test_who_is_not_signed_in_writes_nothing(portal, ann):
    assert portal.visitor().post("/uses", release="first-1", purpose=PURPOSE).status_code == 303
    assert "No use is noted yet" in portal.visitor().get("/uses").text
