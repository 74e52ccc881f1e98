"""What is published: its pages, and files that arrive as they are."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import pytest
import release_cases
import sqlalchemy as sa
from ruamel.yaml import YAML

from portal.public.releases import citation, published, words
from portal.shared.tables import actions


@pytest.fixture
def release(portal):
    return release_cases.publish(portal.home, "first-1")


def sums(text):
    return dict(reversed(line.split("  ")) for line in text.splitlines())


def test_nothing_published_is_said(portal):
    for path in ("/", "/releases"):
        assert "Nothing is published yet" in portal.visitor().get(path).text


def test_the_newest_stand_first_and_a_draw_beside_its_model(portal, release):
    release_cases.publish(portal.home, "second-1")
    release_cases.publish(portal.home, "a-draw", drawn_from="first-1")
    ids = [one.id for one in published.every(portal.home)]
    assert ids == ["second-1", "a-draw", "first-1"]
    for path in ("/", "/releases"):
        page = portal.visitor().get(path).text
        assert [page.index(f'href="/releases/{one}"') for one in ids] == sorted(
            page.index(f'href="/releases/{one}"') for one in ids
        )


def test_a_page_says_what_its_card_says(portal, release):
    release_cases.publish(portal.home, "second-1")
    page = portal.visitor().get("/releases/first-1").text
    for said in ("No row is a real patient", "Not for clinical use", "week 1", "by 2 releases"):
        assert said in page
    assert "Something odd &lt;b&gt;" in page
    assert "Of 100 patients who are in the data he or she then finds at most 2." in page
    assert "3 reliable, 4 indicative, 13 noise" in page and "40 to 60 patients" in page
    assert "dvc get state/released/registry.git uci_heart --rev first-1 -o first-1" in page
    for one in published.find(portal.home, "first-1").files.values():
        assert one.sha256 in page


@pytest.mark.parametrize("path", ["..%2fx", "%2e%2e", "first-2", "FIRST-1", ".first", "a b"])
def test_what_is_no_release_is_not_found(portal, release, path):
    assert portal.visitor().get(f"/releases/{path}").status_code == 404
    assert portal.visitor().get(f"/releases/{path}/csv.zip").status_code == 404


def test_a_release_without_a_manifest_is_none_yet(portal, release):
    release.manifest.unlink()
    assert portal.visitor().get("/releases/first-1").status_code == 404
    assert not published.every(portal.home)


@pytest.mark.parametrize("name", ["small-release", "old-layout"])
def test_releases_of_earlier_code_are_shown(portal, name):
    data = Path(__file__).parents[1] / "released" / "data" / f"{name}.tar.xz"
    with tarfile.open(data) as archive:
        archive.extractall(portal.home.root, filter="data")
    visitor, auditor = portal.visitor(), portal.somebody("auditor")
    (one,) = published.every(portal.home)
    for path in ("/", "/releases", f"/releases/{one.id}", f"/releases/{one.id}/csv.zip"):
        assert visitor.get(path).status_code == 200, path
    for path in ("/audit", "/audit/releases", f"/audit/releases/{one.id}"):
        assert auditor.get(path).status_code == 200, path


def test_a_file_arrives_whole_or_the_part_that_is_asked_for(portal, release):
    client = portal.visitor().client
    where = "/releases/first-1/files/extract/extract.duckdb"
    whole = client.get(where)
    assert whole.content == b"0123456789"
    assert whole.headers["etag"].strip('"') == hashlib.sha256(b"0123456789").hexdigest()
    assert "attachment" in whole.headers["content-disposition"]
    part = client.get(where, headers={"range": "bytes=4-", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, b"456789")
    assert client.get(where, headers={"range": "bytes=20-"}).status_code == 416
    assert client.head(where).headers["content-length"] == "10"


@pytest.mark.parametrize(
    "path",
    [
        "..%2ffirst-1%2fREADME.txt",
        "%2e%2e/first-1/README.txt",
        "..%2fsecret",
        "/etc/passwd",
        "extract/csv",
        "extract%2f..%2fREADME.txt",
        "extract/csv/heart.csv/",
        "not-listed.txt",
    ],
)
def test_only_what_the_manifest_lists_is_sent(portal, release, path):
    (release.root / "not-listed.txt").write_text("a secret")
    (release.root.parent / "secret").write_text("a secret")
    answer = portal.visitor().client.get(f"/releases/first-1/files/{path}")
    assert answer.status_code == 404 and "a secret" not in answer.text


def test_a_link_out_of_the_release_is_not_followed(portal, release):
    (portal.home.root / "elsewhere").write_text("a secret")
    (release.root / "README.txt").unlink()
    (release.root / "README.txt").symlink_to(portal.home.root / "elsewhere")
    assert portal.visitor().get("/releases/first-1/files/README.txt").status_code == 404


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("csv", "extract/csv/heart.csv"),
        ("parquet", "extract/parquet/heart.parquet"),
        ("all", "extract/extract.sqlite"),
    ],
)
def test_a_zip_holds_files_with_their_checksums(portal, release, kind, holds):
    visitor = portal.visitor()
    answer = visitor.get(f"/releases/first-1/{kind}.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = {name.removeprefix("first-1/") for name in archive.namelist()}
        listed = sums(archive.read("first-1/SHA256SUMS").decode())
        assert holds in listed
        assert names == set(listed) | {"SHA256SUMS", "CITATION.cff", "manifest.json"}
        for name, checksum in listed.items():
            assert hashlib.sha256(archive.read(f"first-1/{name}")).hexdigest() == checksum
            assert archive.read(f"first-1/{name}") == (release.root / name).read_bytes()
    assert visitor.get(f"/releases/first-1/{kind}.zip").content == answer.content
    assert len(answer.content) < 20_000  # the CSV is compressed


def test_checksums_are_of_every_file(portal, release):
    listed = sums(portal.visitor().get("/releases/first-1/SHA256SUMS").text)
    assert set(listed) == set(published.find(portal.home, "first-1").files)


def test_a_citation_can_be_read_by_programs(portal, release):
    visitor = portal.visitor()
    document = YAML(typ="safe").load(visitor.get("/releases/first-1/CITATION.cff").text)
    assert document["cff-version"] == "1.2.0" and document["version"] == "first-1"
    assert {"message", "title", "authors"} <= set(document)
    entry = visitor.get("/releases/first-1/citation.bib").text
    assert entry.startswith("@misc{syndasera-first-1,") and entry.count("{") == entry.count("}")
    one = published.find(portal.home, "first-1")
    assert "30 November 2026" in citation.sentence(one, date(2026, 11, 30))


def test_a_download_is_noted_with_who_is_signed_in(portal, release):
    portal.visitor().get("/releases/first-1/files/README.txt")
    ann = portal.somebody("researcher")
    ann.get("/releases/first-1/files/README.txt")
    ann.get("/releases/first-1/files/README.txt", headers={"range": "bytes=3-"})
    ann.get("/releases/first-1/csv.zip")
    with portal.public.state.engine.begin() as c:
        rows = c.execute(sa.select(actions).where(actions.c.action == "downloaded")).all()
    assert [(row.email, row.subject) for row in rows] == [
        ("researcher@example.org", "first-1/README.txt"),
        ("researcher@example.org", "first-1/csv.zip"),
    ]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((6, 1, 3), "within a tenth"),
        ((1, 5, 4), "direction"),
        ((0, 1, 9), "writing and testing code"),
        ((0, 0, 0), "take no figure"),
    ],
)
def test_a_verdict_follows_the_evidence(counts, said):
    tally = dict(zip(words.VERDICTS, counts, strict=True))
    none = dict.fromkeys(words.VERDICTS, 0)
    evidence = {"cells": tally, "survival_and_hazard_ratios": none, "tables": {}}
    assert said in words.verdict({"evidence": evidence})
    assert words.spans({"evidence": None}) == [] == words.tallies({"evidence": None})
