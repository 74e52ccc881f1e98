"""The dashboard's pages, figures and downloads, as a browser asks for them."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from explore_cases import clinic, table

from portal.public.explore import routes
from portal.public.explore.table import BeingMade, ExploreTable

PAGE = "/releases/clinic-1/explore"


@pytest.fixture
def released(portal):
    return portal.visitor(), clinic(portal.home)


def test_the_page_says_what_the_rows_are_and_works_without_its_script(released):
    visitor, rows = released
    page = visitor.get(f"{PAGE}?a.sex=F&compare=1&b.site=North")
    assert page.status_code == 200
    for words in ("No row is a real patient", "epsilon&nbsp;1.25", "Not for clinical use."):
        assert words in page.text
    assert 'href="/releases/clinic-1"' in page.text
    sizes = (rows.people["sex"] == "F").sum(), (rows.people["site"] == "North").sum()
    for size in sizes:
        assert f"<strong>{size}</strong> of 300 synthetic patients" in page.text
    checked = re.findall(r'name="([ab]\.\w+)" value="([^"]*)"\s+checked', page.text)
    assert sorted(checked) == [("a.sex", "F"), ("b.site", "North")]
    assert "A clinic &amp; its &lt;visits&gt;" in page.text


def test_the_page_holds_its_figures_and_no_script_of_its_own(released):
    page = released[0].get(PAGE).text
    data = re.search(r'<script type="application/json" id="explore-data">(.*?)</script>', page)
    assert data
    known = json.loads(data[1])
    assert known["figures"]["cohorts"]["a"]["size"] == 300
    assert set(re.findall(r"<script([^>]*)>[^<]", page)) == {
        ' type="application/json" id="explore-data"'
    }
    assert " onclick" not in page


def test_figures_come_in_one_answer(released):
    visitor, _ = released
    answer = visitor.get(f"{PAGE}/figures?a.age.from=030&a.sex=F").json()
    assert answer["figures"]["query"] == "a.age=30..&a.sex=F"
    assert set(answer["figures"]) >= {"cohorts", "columns", "survival", "flow", "waits", "pathways"}
    assert 'data-part="cohorts"' in answer["parts"]


@pytest.mark.parametrize(
    "path",
    [
        "/releases/clinic-2/explore",
        "/releases/..%2Fclinic-1/explore",
        "/releases/clinic-1%2F..%2Fclinic-1/explore",
        "/releases/CLINIC-1/explore",
        "/releases/clinic-1%0A/explore",
        "/releases/" + "a" * 300 + "/explore/figures",
        "/releases/./explore/rows",
    ],
)
def test_what_is_not_published_is_not_found(released, path):
    assert released[0].get(path).status_code == 404


@pytest.mark.parametrize("part", ["", "/figures", "/rows"])
@pytest.mark.parametrize(
    "query", ["a.sex=X", "a.age.from=1e999", "nothing=1", "pick=x", "a.sex=" + "F" * 30_000]
)
def test_what_a_release_does_not_have_is_refused_in_words(released, part, query):
    answer = released[0].get(f"{PAGE}{part}?{query}")
    assert answer.status_code == 400
    assert "Traceback" not in answer.text


def test_rows_are_those_of_the_cohort_in_every_table(released):
    visitor, rows = released
    answer = visitor.get(f"{PAGE}/rows?a.sex=F&b.site=&compare=1&cohort=b")
    assert 'filename="clinic-1-cohort-b.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        people = pd.read_csv(archive.open("people.csv"))
        visits = pd.read_csv(archive.open("visits.csv"))
        about = archive.read("README.txt").decode()
    chosen = rows.people[rows.people["site"].isna()]
    assert people["Number"].tolist() == chosen["Number"].tolist()
    expected = rows.visits[rows.visits["id"].isin(chosen["Number"])]
    assert visits["id"].tolist() == expected["id"].tolist()
    assert visits["kind"].tolist() == expected["kind"].tolist()
    assert "No row is a real patient" in about and "epsilon" in about.lower()


def test_rows_of_a_table_are_one_csv_file(portal):
    rows = table(portal.home)
    answer = portal.visitor().get("/releases/table-1/explore/rows?a.colour=red")
    assert answer.headers["content-type"].startswith("text/csv")
    found = pd.read_csv(io.BytesIO(answer.content))
    expected = rows[rows["colour"] == "red"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("a.age.from=99&a.age.to=98", "nobody is in this cohort"),
        ("cohort=b", "cohort is a, or b"),
        ("cohort=../a", "cohort is a, or b"),
    ],
)
def test_rows_of_nobody_are_refused(released, query, words):
    answer = released[0].get(f"{PAGE}/rows?{query}")
    assert answer.status_code == 400 and words in answer.text.lower()


def test_rows_of_very_many_are_refused(released, monkeypatch):
    monkeypatch.setattr("portal.public.explore.rows.MOST_PATIENTS", 100)
    answer = released[0].get(f"{PAGE}/rows")
    assert answer.status_code == 400 and "take the whole release home" in answer.text
    assert "Download rows" not in released[0].get(PAGE).text


def test_a_download_is_in_the_log_of_actions(portal):
    import sqlalchemy as sa

    from portal.shared.tables import actions

    clinic(portal.home)
    portal.visitor().get(f"{PAGE}/rows?a.sex=F")
    with portal.public.state.engine.connect() as c:
        rows = c.execute(sa.select(actions.c.action, actions.c.subject)).all()
    assert ("downloaded rows", "clinic-1") in [tuple(row) for row in rows]


def test_a_table_that_is_missing_is_made_again(released, portal):
    visitor, _ = released
    before = visitor.get(f"{PAGE}/figures").json()
    for file in portal.home.portal_cache.iterdir():
        file.unlink()
    from portal.public.explore import routes

    routes._explorers.clear()
    assert visitor.get(f"{PAGE}/figures").json() == before


def test_a_page_waits_politely_while_the_table_is_made(released, monkeypatch):
    def busy(*_):
        raise BeingMade("clinic-1")

    monkeypatch.setattr(routes.makers, "wait", busy)
    answer = released[0].get(PAGE)
    assert answer.status_code == 202 and "read for the first time" in answer.text
    assert released[0].get(f"{PAGE}/figures").status_code == 202


def test_of_many_pages_at_once_one_reads_the_release(released, monkeypatch):
    """Forty readers of a release that nobody had opened kept a machine busy for a minute."""
    visitor, _ = released
    assert visitor.get(PAGE).status_code == 200  # the table is on disk
    routes._explorers.clear()
    reads = []

    class Slow(ExploreTable):
        def __init__(self, *arguments):
            reads.append(arguments)
            time.sleep(0.2)  # so that the others come meanwhile
            super().__init__(*arguments)

    monkeypatch.setattr(routes, "ExploreTable", Slow)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: visitor.get(PAGE).status_code, range(8)))
    assert answers == [200] * 8
    assert len(reads) == 1
