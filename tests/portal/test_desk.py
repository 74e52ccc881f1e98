"""The first page of staff says what waits."""

from __future__ import annotations

import pytest
from request_cases import MODEL, ask, declare_source, publish


def test_a_request_waits_on_the_desk_until_somebody_decides(at_home):
    publish(at_home.home, MODEL)
    declare_source(at_home.home, "adult")
    custodian = at_home.somebody("custodian")
    assert "1 waits" not in custodian.get("/").text
    number = ask(at_home.somebody("researcher"), "dataset=adult")
    assert "1 waits" in custodian.get("/").text
    custodian.get(f"/requests/{number}")
    assert custodian.post(f"/requests/{number}/decline", text="Not now").status_code == 303
    assert "1 waits" not in custodian.get("/").text


@pytest.mark.parametrize(
    ("role", "pages"),
    [("auditor", ["/requests", "/audit"]), ("administrator", ["/people"])],
)
def test_the_desk_shows_what_its_role_may_open(at_home, role, pages):
    text = at_home.somebody(role).get("/").text
    main = text[text.index("<main") :]
    assert [
        page
        for page in ("/requests", "/approvals", "/uploads", "/runs", "/audit", "/people")
        if f'href="{page}"' in main
    ] == pages
