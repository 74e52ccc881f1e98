"""Uploads as a custodian meets them: pages, forms, and the transfer of bytes."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from upload_cases import MARK, SOME_DAY, holds

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from pipeline.restricted.uploads import findings
from pipeline.runs import sources
from pipeline.runs.uploads import pieces, reception, records
from portal.custodian.uploads import checks
from portal.shared.limits import LARGEST_FORM, PIECE_TYPE
from portal.shared.tables import actions

NAME = "heart_kaggle_303.csv"
HEADER = "age,sex,cp,trtbps,chol,fbs,restecg,thalachh,exng,oldpeak,slp,caa,thall,output\n"
ROW = "63,M,3,145,233,1,0,150,0,2.3,0,0,1,1\n"
CONTENT = (HEADER + ROW + f"{MARK},1\n" + ROW).encode()
ROUTES = (
    ("GET", "/uploads"),
    ("GET", "/uploads/new"),
    ("POST", "/uploads"),
    ("GET", "/uploads/{id}"),
    ("GET", "/uploads/{id}/state"),
    ("POST", "/uploads/{id}/check"),
    ("POST", "/uploads/{id}/lift"),
    ("POST", "/uploads/{id}/declare"),
    ("POST", "/uploads/{id}/day"),
    ("POST", "/uploads/{id}/delete"),
    ("HEAD", "/uploads/files/{id}/0"),
    ("PATCH", "/uploads/files/{id}/0"),
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Home:
    """The one of the processes is the one in use."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return Home.find()


class Sender:
    """A custodian whose script sends files."""

    def __init__(self, visitor):
        self.visitor, self.client = visitor, visitor.client
        self.client.headers["accept"] = "application/json"
        visitor.get("/uploads/new", headers={"accept": "text/html"})
        self.csrf = visitor.token()

    def create(self, files, day=SOME_DAY, dataset="uci_heart"):
        wanted = [{"name": name, "size": len(data)} for name, data in files.items()]
        return self.client.post(
            "/uploads",
            json={"dataset": dataset, "delete_on": f"{day}", "files": wanted},
            headers={"x-csrf": self.csrf},
        )

    def begun(self, content=CONTENT, name=NAME) -> str:
        return self.create({name: content}).json()["id"]

    def patch(self, upload_id, start, data, number=0, **headers):
        return self.client.patch(
            f"/uploads/files/{upload_id}/{number}",
            content=data,
            headers={
                "x-csrf": self.csrf,
                "content-type": PIECE_TYPE,
                "upload-offset": str(start),
                **headers,
            },
        )

    def offset(self, upload_id) -> int:
        answer = self.client.head(f"/uploads/files/{upload_id}/0")
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert answer.headers["cache-control"] == "no-store"
        return int(answer.headers["upload-offset"])

    def page(self, upload_id):
        return self.visitor.get(f"/uploads/{upload_id}", headers={"accept": "text/html"})

    def post(self, upload_id, form, **fields):
        self.page(upload_id)
        return self.visitor.post(f"/uploads/{upload_id}/{form}", **fields)


@pytest.fixture
def sender(portal) -> Sender:
    return Sender(portal.somebody("custodian"))


def test_from_the_first_byte_to_deletion(sender, portal, home, caplog):
    created = sender.create({NAME: CONTENT})
    assert created.status_code == 201
    upload_id = created.json()["id"]
    assert created.headers["location"] == f"/uploads/{upload_id}"
    assert "arriving" in sender.page(upload_id).text
    assert sender.offset(upload_id) == 0
    first = sender.patch(upload_id, 0, CONTENT[:100])
    assert (first.status_code, first.headers["upload-offset"]) == (204, "100")
    assert sender.patch(upload_id, 100, CONTENT[100:]).status_code == 204
    page = sender.page(upload_id).text
    assert "in quarantine" in page and "row does not parse" in page and ">3<" in page
    assert sender.post(upload_id, "declare").status_code == 400
    refused = sender.post(upload_id, "lift", label="no; such")
    assert refused.status_code == 400 and records.load(home, upload_id).state == "received"
    assert sender.post(upload_id, "lift", label="Heart 2020").status_code == 303
    assert sender.post(upload_id, "declare").status_code == 303
    assert sources.load(home)["uci_heart"].path == f"upload:{upload_id}"
    assert "declared as source" in sender.page(upload_id).text
    assert sender.post(upload_id, "delete").status_code == 400
    assert sender.post(upload_id, "delete", sure="yes").status_code == 303
    page = sender.page(upload_id).text
    assert "What remains, and why" in page and "the ledger" in page
    assert "deleted" in sender.visitor.get("/uploads").text
    assert MARK not in page + caplog.text and holds(home.root, MARK) == []
    with portal.custodian.state.engine.begin() as c:
        subjects = c.execute(sa.select(actions.c.action, actions.c.subject)).all()
    assert [name for name, subject in subjects if subject == upload_id] == [
        "began an upload",
        "handed all of it over",
        "lifted the quarantine of an upload",
        "declared an upload as source",
        "deleted an upload",
    ]


def test_offsets_are_kept_to(sender):
    upload_id = sender.begun()
    assert sender.patch(upload_id, 0, CONTENT[:50]).status_code == 204
    for start in (0, 49, 51):
        answer = sender.patch(upload_id, start, CONTENT[:10])
        assert answer.status_code == 409 and "50 bytes have arrived" in answer.json()["error"]
    for start in ("", "x", "-1", "1" * 20, "٣"):
        assert sender.patch(upload_id, start.encode(), b"x").status_code == 400
    assert sender.patch(upload_id, 50, CONTENT).status_code == 413
    assert sender.patch(upload_id, 50, b"x", **{"content-type": "text/csv"}).status_code == 415
    assert sender.patch(upload_id, 0, b"x", number=3).status_code == 400
    assert sender.patch("0" * 16, 0, b"x").status_code == 400
    assert sender.client.head(f"/uploads/files/{'0' * 16}/0").status_code == 404
    assert sender.offset(upload_id) == 50


def test_a_restart_goes_on(sender, portal, make_portal, home):
    """Another process, with nothing in memory: the check is made from the pieces."""
    upload_id = sender.begun()
    sender.patch(upload_id, 0, CONTENT[:70])
    again = make_portal()
    visitor = again.visitor("custodian")
    visitor.sign_in("custodian@example.org")
    other = Sender(visitor)
    assert other.offset(upload_id) == 70
    assert other.patch(upload_id, 70, CONTENT[70:]).status_code == 204
    checks.run(home, "check", upload_id)
    assert records.load(home, upload_id).is_structure_known
    assert findings.of_upload(home, upload_id)[0].problems[0].line == 3


def test_a_full_disk_says_so(sender, home, monkeypatch):
    upload_id = sender.begun()
    sender.patch(upload_id, 0, CONTENT[:50])

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pieces.files, "sync_folder", full)
        patch.setattr(pieces.os, "fsync", full)
        answer = sender.patch(upload_id, 50, CONTENT[50:])
    assert answer.status_code == 507 and "disk is full" in answer.json()["error"]
    assert sender.offset(upload_id) == 50
    assert sender.patch(upload_id, 50, CONTENT[50:]).status_code == 204


@pytest.mark.parametrize(("n_bytes", "n_kept"), [(1000, 0), (reception.SMALLEST_CUT, None)])
def test_a_cut_connection_leaves_whole_pieces(sender, portal, home, n_bytes, n_kept):
    content = CONTENT + ROW.encode() * 60_000
    upload_id = sender.begun(content)
    asyncio.run(cut(portal.custodian, sender, upload_id, content[:n_bytes]))
    kept = n_bytes if n_kept is None else n_kept
    assert sender.offset(upload_id) == kept
    assert sender.patch(upload_id, kept, content[kept:]).status_code == 204
    assert records.load(home, upload_id).is_structure_known
    assert findings.of_upload(home, upload_id)[0].rows == 60_003


async def cut(app, sender, upload_id, data):
    """A request whose connection ends within its body."""
    cookies = "; ".join(f"{name}={value}" for name, value in sender.client.cookies.items())
    headers = {
        "host": "localhost",
        "cookie": cookies,
        "x-csrf": sender.csrf,
        "content-type": PIECE_TYPE,
        "upload-offset": "0",
        "content-length": str(len(data) + 1000),
    }
    messages = [
        {"type": "http.request", "body": data, "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PATCH",
        "scheme": "http",
        "path": f"/uploads/files/{upload_id}/0",
        "raw_path": b"",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }

    async def receive():
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def nothing(message):
        return None

    await app(scope, receive, nothing)


def test_a_wrong_file_is_refused_with_its_reason(sender, home):
    upload_id = sender.begun(CONTENT.replace(b"chol", b"kohl"))
    answer = sender.patch(upload_id, 0, CONTENT.replace(b"chol", b"kohl"))
    assert answer.status_code == 400 and "missing column(s) chol" in answer.json()["error"]
    assert "missing column(s) chol" in sender.page(upload_id).text.lower()
    assert sender.patch(upload_id, 0, CONTENT).status_code == 400
    zipped = sender.begun(b"PK\x03\x04" + b"x" * 50)
    assert "zip archive" in sender.patch(zipped, 0, b"PK\x03\x04" + b"x" * 50).json()["error"]
    assert records.load(home, zipped).state == "refused"


@pytest.mark.parametrize(
    "files",
    [{"../" + NAME: b"x"}, {"/etc/passwd": b"x"}, {"a.zip": b"x"}, {}, {NAME: b"x", "b.csv": b"x"}],
)
def test_nothing_is_made_of_a_wrong_announcement(sender, home, files):
    assert sender.create(files).status_code == 400
    assert records.every(home) == []


def test_days_and_sizes_are_bounded(sender, home):
    today = datetime.now(UTC).date()
    for day in (today, today - timedelta(days=1), today + timedelta(days=3000)):
        assert sender.create({NAME: b"x"}, day).status_code == 400
    upload_id = sender.begun()
    assert sender.post(upload_id, "day", delete_on=f"{today}").status_code == 400
    assert sender.post(upload_id, "day", delete_on="soon").status_code == 400
    later = today + timedelta(days=5)
    assert sender.post(upload_id, "day", delete_on=f"{later}").status_code == 303
    assert records.load(home, upload_id).delete_on == later
    assert sender.create({NAME: b"x"}, dataset="simulated_pathways").status_code == 400
    assert sender.create({NAME: b"x"}, dataset="../adult").status_code == 400
    too_large = {"name": NAME, "size": reception.LARGEST_UPLOAD + 1}
    wanted = {"dataset": "uci_heart", "delete_on": f"{later}", "files": [too_large]}
    answer = sender.client.post("/uploads", json=wanted, headers={"x-csrf": sender.csrf})
    assert answer.status_code == 400


@pytest.mark.parametrize("role", ["engineer", "auditor", "administrator", None])
def test_uploads_are_the_custodians_alone(sender, portal, role):
    upload_id = sender.begun()
    visitor = portal.somebody(role) if role else portal.visitor("custodian")
    visitor.get("/account" if role else "/sign-in")
    token = visitor.token()
    for method, path in ROUTES:
        answer = visitor.client.request(
            method,
            path.format(id=upload_id),
            headers={"x-csrf": token, "accept": "application/json"},
            follow_redirects=False,
        )
        assert answer.status_code == (403 if role else 401), (method, path)
    assert sender.offset(upload_id) == 0


def test_the_routes_of_that_test_are_all(portal):
    there = {
        (method, route.path)
        for route in portal.custodian.routes
        for method in getattr(route, "methods", None) or ()
        if route.path.startswith("/uploads")
    }
    paths = {
        (method, path.replace("{id}", "{upload_id}").replace("/0", "/{number}"))
        for method, path in ROUTES
    }
    assert there == paths


def test_a_transfer_needs_the_token_of_the_session(sender):
    upload_id = sender.begun()
    assert sender.patch(upload_id, 0, b"x", **{"x-csrf": "other"}).status_code == 403
    foreign = {"origin": "http://elsewhere.example"}
    assert sender.patch(upload_id, 0, b"x", **foreign).status_code == 403
    assert sender.offset(upload_id) == 0


def test_only_a_piece_may_be_large(sender):
    """A form to the same path is bounded as everywhere."""
    path = f"/uploads/files/{sender.begun()}/0"
    body = b"csrf=" + b"x" * (LARGEST_FORM + 10)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert sender.client.patch(path, content=body, headers=form).status_code == 413
    body = json.dumps({"files": [{"name": "x" * 2_000_000, "size": 1}]})
    assert sender.client.post("/uploads", content=body).status_code == 413


def test_the_daily_deletion_runs_in_the_pipeline(sender, home):
    upload_id = sender.begun()
    records.change(home, upload_id, among=records.STANDING, delete_on=datetime.now(UTC).date())
    assert checks.run(home, "delete-due") == 0
    assert records.load(home, upload_id).state == "deleted"
