"""The same rows under a second population are refused, at every door by which a source comes in."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date

import pytest

from pipeline.catalog import project_root
from pipeline.cli.parser import main
from pipeline.runs import source_claims, workspace
from pipeline.runs.source_claims import claim


@pytest.fixture
def registered(home, source):
    """A confidential population's folder, with one table one level down."""
    (source / "tables").mkdir()
    (source / "tables" / "adult.csv").write_text("age\n39\n")
    claim(home, source / "tables", population="people", kind="confidential")
    return source / "tables"


@pytest.mark.parametrize("path", [".", "..", "adult.csv", "new/../."])
@pytest.mark.parametrize(
    ("population", "kind"), [("others", "confidential"), ("others", "public"), ("people", "public")]
)
def test_equal_inside_or_above_is_refused(home, registered, path, population, kind):
    before = source_claims.read(home)
    with pytest.raises(
        ValueError, match="registered as the source of the confidential population people"
    ):
        claim(home, registered / path, population=population, kind=kind)
    assert source_claims.read(home) == before


def test_a_link_to_the_rows_is_the_rows(home, registered, tmp_path):
    (tmp_path / "elsewhere").symlink_to(registered)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "adult.csv").symlink_to(registered / "adult.csv")
    for path in ("elsewhere", "links"):
        with pytest.raises(ValueError, match="population people"):
            claim(home, tmp_path / path, population="adult", kind="public")


def test_the_same_population_and_other_folders_are_free(home, registered):
    claim(home, registered, population="people", kind="confidential")
    claim(home, registered / "adult.csv", population="people", kind="confidential")
    beside = registered.with_name("tables-2")
    beside.mkdir()
    claim(home, beside, population="others", kind="public")
    assert {entry["population"] for entry in source_claims.read(home).values()} == {
        "people",
        "others",
    }
    assert home.registers.stat().st_mode & 0o077 == 0
    assert home.registers.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("path", [".", "..", "adult.csv"])
@pytest.mark.parametrize(
    ("first", "second", "gives_way"),
    [
        ("confidential", "confidential", True),
        ("public", "confidential", True),
        ("public", "public", True),
        ("confidential", "public", False),
        ("confidential", "simulated", False),
    ],
)
def test_a_slip_of_the_name_closes_no_path(home, source, path, first, second, gives_way):
    """A claim of before anybody looked at the files gives way, but never to a laxer rule."""
    for folder in (source.parent, source):
        (folder / "truth.json").write_text("{}")
    claim(home, source, population="slip", kind=first, for_good=False)
    if not gives_way:
        with pytest.raises(ValueError, match="population slip"):
            claim(home, source / path, population="right", kind=second)
        return
    claim(home, source / path, population="right", kind=second)
    with pytest.raises(ValueError, match="population right"):
        claim(home, source, population="slip", kind=first, for_good=False)
    with pytest.raises(ValueError, match="population right"):
        claim(home, source, population="slip", kind=first)


@pytest.mark.parametrize("is_link", [False, True])
def test_a_claim_that_gives_way_in_part_still_holds_for_the_rest(home, source, tmp_path, is_link):
    """Else a confidential place would become public by way of a second confidential population."""
    for name in ("one", "two"):
        (source / name).mkdir()
    part = source / "two"
    if is_link:
        part = tmp_path / "links"
        part.mkdir()
        (part / "two").symlink_to(source / "two")
    claim(home, source, population="people", kind="confidential", for_good=False)
    claim(home, part, population="others", kind="confidential", for_good=False)
    with pytest.raises(ValueError, match="population people"):
        claim(home, source / "one", population="adult", kind="public")
    with pytest.raises(ValueError, match=r"population (people|others)"):
        claim(home, source / "two", population="adult", kind="public")


def test_a_claim_for_good_stays_so(home, source):
    claim(home, source, population="people", kind="public")
    before = source_claims.read(home)
    claim(home, source, population="people", kind="public", for_good=False)
    assert source_claims.read(home) == before
    with pytest.raises(ValueError, match="population people"):
        claim(home, source, population="others", kind="confidential")


@pytest.mark.parametrize("header", ["age", "age;workclass", "", "\0"])
def test_a_source_whose_structure_is_wrong_is_not_claimed_for_good(home, source, header):
    """Ingest looks at the structure, then claims, then reads rows."""
    from pipeline import params
    from pipeline.catalog import Workspace
    from pipeline.restricted.ingest import stage
    from pipeline.schema.reader import read_schema

    (source / "adult.csv").write_text(f"{header}\n39\n")
    schema = read_schema(project_root() / "datasets" / "adult.yaml")
    settings = params.load(home.params)
    release = replace(settings.release, source=str(source), id="adult-1", dataset="adult")
    with pytest.raises(ValueError, match=r"adult"):
        stage.run(Workspace(home.runs / "adult-1"), replace(settings, release=release), schema)
    assert main(["sources", "set", "uci_heart", "--path", str(source), "--label", "x"]) == 0
    claim(home, source, population="people", kind="confidential")


def test_simulated_patients_come_from_the_simulator_only(home, source):
    with pytest.raises(ValueError, match=r"no truth\.json"):
        claim(home, source, population="invented", kind="simulated")
    (source / "truth.json").write_text("{}")
    claim(home, source, population="invented", kind="simulated")
    claim(home, source / "adult.csv", population="invented", kind="simulated")


def test_a_folder_without_truth_makes_no_run_of_invented_patients(home, source):
    asked = workspace.Request(
        release_id="sim-1", dataset="simulated_pathways", source=str(source), label="first"
    )
    with pytest.raises(ValueError, match=r"no truth\.json"):
        workspace.make(home, asked)
    assert not home.runs.exists() and not home.ledger_file.exists()


@pytest.mark.parametrize("order", ["declared", "prepared"])
def test_confidential_rows_make_no_run_of_public_or_invented_people(home, source, order, capsys):
    if order == "declared":
        assert (
            main(["sources", "set", "cancer_pathways", "--path", str(source), "--label", "first"])
            == 0
        )
    else:
        workspace.make(
            home,
            workspace.Request(
                release_id="real-1",
                dataset="cancer_pathways",
                source=str(source),
                label="first",
                extract_date=date(2022, 12, 31),
            ),
        )
    (source / "truth.json").write_text("{}")
    for dataset in ("simulated_pathways", "adult"):
        assert (
            main(
                [
                    "prepare",
                    "--dataset",
                    dataset,
                    "--release-id",
                    "second-1",
                    "--source",
                    str(source),
                    "--label",
                    "x",
                ]
            )
            == 2
        )
        assert main(["sources", "set", dataset, "--path", str(source), "--label", "x"]) == 2
    assert capsys.readouterr().err.count("population cancer_pathways") == 4
    assert not (home.runs / "second-1").exists() and not home.ledger_file.exists()


def test_fit_makes_no_uncharged_model_of_registered_rows(home, registered, tmp_path, capsys):
    declared = shutil.copy(project_root() / "datasets" / "adult.yaml", tmp_path / "adult.yaml")
    assert (
        main(
            [
                "fit",
                "--dataset",
                str(declared),
                "--source",
                str(registered / "adult.csv"),
                "--epsilon",
                "1",
                "--model",
                str(tmp_path / "m"),
            ]
        )
        == 2
    )
    assert "confidential population people" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_crash_while_writing_leaves_the_old_register(home, registered, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("the disk is full")

    before = source_claims.read(home)
    with monkeypatch.context() as patch:
        patch.setattr(source_claims, "_enter", fail)
        with pytest.raises(OSError, match="disk is full"):
            claim(home, tmp_path, population="people", kind="confidential")
    assert source_claims.read(home) == before
