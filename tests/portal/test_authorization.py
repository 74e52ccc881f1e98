"""Every route of both processes, with every role: who may, and who may not."""

from __future__ import annotations

import re

import pytest
from fastapi.routing import APIRoute
from route_cases import ROLES, TABLES, may
from starlette.routing import Mount

FILES = {"/static", "/assets"}  # for everybody
VALUES = {"process": "public", "number": "4711", "change": "unlock", "release_id": "no-such"}


def routes(app):
    """Method and path of every route, as the tables write them."""
    found = set()
    for route in app.routes:
        if isinstance(route, Mount):
            assert route.path in FILES, f"{route.path}: whom are these files for?"
        else:
            assert isinstance(route, APIRoute), f"{route}: a kind of route that is not looked at"
            found |= {f"{method} {route.path}" for method in route.methods}
    return found


def call(visitor, route, **headers):
    method, path = route.split(" ")
    path = re.sub(r"\{(\w+)[^}]*\}", lambda found: VALUES.get(found[1], "x"), path)
    return visitor.client.request(method, path, headers=headers, follow_redirects=False)


@pytest.mark.parametrize("process", TABLES)
def test_every_route_is_in_the_table(portal, process):
    assert routes(getattr(portal, process)) == set(TABLES[process])


@pytest.mark.parametrize(
    ("process", "role"), [(process, role) for process, roles in ROLES.items() for role in roles]
)
def test_a_route_is_for_its_roles_alone(portal, process, role):
    visitor = portal.visitor(process) if role == "nobody" else portal.somebody(role)
    visitor.get("/account" if role != "nobody" else "/sign-in")
    token = visitor.token()
    ends = [route for route in TABLES[process] if route == "POST /sign-out"]  # as the last
    for route in [route for route in TABLES[process] if route not in ends] + ends:
        answer = call(visitor, route, **{"x-csrf": token})
        is_sent_away = answer.headers.get("location", "").startswith("/sign-in")
        if may(TABLES[process][route], role):
            assert answer.status_code not in (401, 403, 500) and not is_sent_away, route
        elif role == "nobody":
            assert answer.status_code == 303 and is_sent_away, route
        else:
            assert answer.status_code == 403, route
            assert route.startswith("HEAD") or "not for your role" in answer.text, route


@pytest.mark.parametrize(
    ("process", "role"), [("public", "researcher"), ("custodian", "administrator")]
)
def test_no_route_changes_anything_without_a_token(portal, process, role):
    visitor = portal.somebody(role)
    for route in TABLES[process]:
        if route.startswith(("GET", "HEAD")):
            continue
        assert call(visitor, route).status_code == 403, route
        token = visitor.get("/account") and visitor.token()
        foreign = {"x-csrf": token, "origin": "https://elsewhere.org"}
        assert call(visitor, route, **foreign).status_code == 403, route
