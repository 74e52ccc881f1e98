"""Whatever is sent to a route, it answers without an error of its own: schemathesis makes requests
from what each application says of itself (OpenAPI), fitting and not.
"""

from __future__ import annotations

import pytest
import release_cases
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from route_cases import ROLES, TABLES, may
from schemathesis.checks import not_a_server_error
from serving import serving

SETTINGS = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LEFT_OUT = "POST /sign-out"  # it would end the session that the others need


def session_of(portal, process, role):
    """A browser of somebody of this role, with the token of its forms."""
    visitor = portal.somebody(role)
    visitor.get("/account")
    session = requests.Session()
    session.headers["x-csrf"] = visitor.token()
    for cookie in visitor.client.cookies.jar:
        session.cookies.set(cookie.name, cookie.value)
    return session


def send_anything(operation, address, session):
    """Sends requests to one route; whether one of them was let in."""
    statuses = set()

    @SETTINGS
    @given(case=operation.as_strategy())
    def send(case):
        answer = case.call(base_url=address, session=session, allow_redirects=False, timeout=60)
        case.validate_response(answer, checks=[not_a_server_error])
        statuses.add(answer.status_code)

    send()
    return bool(statuses - {403})


@pytest.mark.long
@pytest.mark.parametrize(
    ("process", "role"), [(process, role) for process, roles in ROLES.items() for role in roles[1:]]
)
def test_nothing_that_is_sent_is_an_error(portal, process, role, caplog):
    release_cases.publish(portal.home, "first-1")
    app = getattr(portal, process)
    session = session_of(portal, process, role)
    schema = schemathesis.openapi.from_dict(app.openapi())
    operations = {
        f"{one.ok().method.upper()} {one.ok().path}": one.ok()
        for one in schema.get_all_operations()
    }
    del operations[LEFT_OUT]
    with serving(app) as address:
        let_in = {name for name, one in operations.items() if send_anything(one, address, session)}
    mine = {name for name in operations if may(TABLES[process].get(name, ()), role)}
    assert mine and mine <= let_in
    assert "Traceback" not in caplog.text
