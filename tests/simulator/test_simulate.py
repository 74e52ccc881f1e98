"""simulate(): files, determinism, continuation, dirt, broken rules."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pipeline.checks.rules import RuleContext, check, failing_patients
from pipeline.refusal import Refusal
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column, Schema
from pipeline.simulator import DEFAULT_EXTRACT, command
from pipeline.simulator.simulate import simulate

DECLARATION = Path(__file__).resolve().parents[2] / "datasets" / "simulated_pathways.yaml"
LATER = date(2023, 6, 30)


def read(folder: Path) -> dict[str, pl.DataFrame]:
    return {
        path.stem: pl.read_csv(path, infer_schema=False) for path in sorted(folder.glob("*.csv"))
    }


def typed(schema: Schema, raw: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Tables as ingest would cast them; what does not parse is null."""

    def cast(name: str, column: Column) -> pl.Expr:
        if column.kind == "date":
            return pl.col(name).str.to_date("%Y-%m-%d", strict=False)
        if column.kind in ("id", "continuous"):
            return pl.col(name).cast(pl.Float64 if column.decimals else pl.Int64, strict=False)
        return pl.col(name)

    return {
        name: raw[name].select(cast(c, column) for c, column in table.columns.items())
        for name, table in schema.tables.items()
    }


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read_schema(DECLARATION)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clean") / "extract"
    simulate(3000, 7, out, clean=True)
    return out


def test_files_and_columns_are_those_of_the_declaration(clean: Path, schema: Schema) -> None:
    tables = read(clean)
    assert set(tables) == set(schema.tables)
    for name, table in schema.tables.items():
        assert tables[name].columns == list(table.columns), name
    assert tables["sim_av_patient"].height == 3000
    assert json.loads((clean / "truth.json").read_text())["counts"]["sim_av_patient"] == 3000


def test_clean_tables_meet_every_rule(clean: Path, schema: Schema) -> None:
    results = check(
        schema,
        typed(schema, read(clean)),
        RuleContext(extract_date=DEFAULT_EXTRACT, is_synthetic=False),
    )
    assert {outcome.rule.id: outcome.n_failing for outcome in results.with_status("fail")} == {}
    warned = {outcome.rule.id for outcome in results.with_status("warn")}
    assert warned <= {"21"}, "a share of 1% in 500 women and a few men may leave its band by chance"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_patients(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(300, seed, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert (tmp_path / "a" / "sim_av_tumour.csv").read_bytes() != (
        tmp_path / "c" / "sim_av_tumour.csv"
    ).read_bytes()


def test_a_later_extract_continues_the_same_patients(tmp_path: Path) -> None:
    """Every earlier row is there again, unless it is the follow-up of a living patient or a
    treatment that ran across the date.
    """
    simulate(2500, 5, tmp_path / "first", clean=True)
    simulate(2500, 5, tmp_path / "second", LATER, clean=True)
    first, second = read(tmp_path / "first"), read(tmp_path / "second")
    patients, later = first["sim_av_patient"], second["sim_av_patient"]
    both = patients.join(later, on="PATIENTID", suffix="_LATER")
    assert both.height == patients.height < later.height < 1.15 * patients.height
    for column in ("GENDER", "ETHNICITY", "LINKNUMBER"):
        assert both[column].eq_missing(both[f"{column}_LATER"]).all()
    dead = both.filter(pl.col("VITALSTATUS") == "D")
    assert (dead["VITALSTATUSDATE"] == dead["VITALSTATUSDATE_LATER"]).all()
    died_since = both.filter((pl.col("VITALSTATUS") == "A") & (pl.col("VITALSTATUS_LATER") == "D"))
    assert died_since.height > 0
    assert (died_since["VITALSTATUSDATE_LATER"] > DEFAULT_EXTRACT.isoformat()).all()
    for name in (
        "sim_av_gene",
        "sim_sact_regimen",
        "sim_sact_cycle",
        "sim_sact_drug_detail",
        "sim_sact_outcome",
        "sim_rtds_episode",
        "ext_route",
    ):
        assert (
            first[name]
            .join(second[name], on=first[name].columns, how="anti", nulls_equal=True)
            .height
            == 0
        ), name
        assert second[name].height > first[name].height, name
    ids = set(patients["PATIENTID"])
    new_events = second["sim_sact_cycle"].join(
        first["sim_sact_cycle"], on="MERGED_CYCLE_ID", how="anti"
    )
    regimens = second["sim_sact_regimen"].filter(pl.col("ENCORE_PATIENT_ID").is_in(list(ids)))
    of_known = new_events.join(regimens, on="MERGED_REGIMEN_ID")
    assert (of_known["START_DATE_OF_CYCLE"] > DEFAULT_EXTRACT.isoformat()).all()


def test_an_earlier_extract_meets_the_rules_too(tmp_path: Path, schema: Schema) -> None:
    early = date(2020, 3, 31)
    simulate(1500, 4, tmp_path / "early", early, clean=True)
    tables = typed(schema, read(tmp_path / "early"))
    assert 300 < tables["sim_av_patient"].height < 1500
    results = check(schema, tables, RuleContext(extract_date=early, is_synthetic=False))
    assert [outcome.rule.id for outcome in results.with_status("fail")] == []


def test_default_dirt_is_there_at_small_rates_and_in_latin_1(tmp_path: Path) -> None:
    simulate(6000, 3, tmp_path / "dirty")
    truth = json.loads((tmp_path / "dirty" / "truth.json").read_text())
    assert sum(count > 0 for count in truth["dirt"]["cells"].values()) >= 0.7 * len(
        truth["dirt"]["cells"]
    )
    raw = (tmp_path / "dirty" / "sim_sact_regimen.csv").read_bytes()
    assert b"\xa0" in raw and "\u00a0" in raw.decode("latin-1")
    with pytest.raises(UnicodeDecodeError):
        raw.decode("utf-8")
    tumours = pl.read_csv(tmp_path / "dirty" / "sim_av_tumour.csv", infer_schema=False)
    assert 0.02 < tumours["PERFORMANCESTATUS"].drop_nulls().str.ends_with("m").mean() < 0.10  # type: ignore[operator]
    mismatch = (tumours["SITE_ICD10_O2"].str.slice(0, 3) != tumours["SITE_ICD10_O2_3CHAR"]).mean()
    assert 0 < mismatch < 0.01  # type: ignore[operator]
    combined = pl.read_csv(tmp_path / "dirty" / "sim_rtds_combined.csv", infer_schema=False)
    episodes = pl.read_csv(tmp_path / "dirty" / "sim_rtds_episode.csv", infer_schema=False)
    joined = combined.join(episodes, on=["PATIENTID", "ATTENDID"])
    assert joined["DECISIONTOTREATDATE"].eq_missing(joined["DECISIONTOTREATDATE_right"]).all()


def test_every_rule_is_broken_by_a_patient_of_its_own(tmp_path: Path, schema: Schema) -> None:
    simulate(3000, 3, tmp_path / "broken", every_rule=True)
    broken = json.loads((tmp_path / "broken" / "truth.json").read_text())["dirt"]["broken"]
    assert len({entry["patient"] for entry in broken.values()}) == len(broken)
    found = failing_patients(
        schema,
        typed(schema, read(tmp_path / "broken")),
        RuleContext(extract_date=DEFAULT_EXTRACT, is_synthetic=False),
    )
    rules = {
        str(patient): set(group["rule"].str.slice(0, 2))
        for (patient,), group in found.group_by("patient_id")
    }
    for rule, entry in broken.items():
        assert rule in rules.get(str(entry["patient"]), set()), f"rule {rule}: {entry['what']}"
    guilty = {str(entry["patient"]) for entry in broken.values()}
    assert set(rules) <= guilty | {"1", "None"}, "nobody else is touched"


def test_a_small_extract_cannot_break_every_rule_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="simulate more patients"):
        simulate(60, 1, tmp_path / "small", every_rule=True)
    assert not (tmp_path / "small").exists()


def test_one_patient_is_enough(tmp_path: Path) -> None:
    simulate(1, 1, tmp_path / "one")
    assert pl.read_csv(tmp_path / "one" / "sim_av_patient.csv").height == 1


def test_bad_arguments_and_a_foreign_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        simulate(0, 1, tmp_path / "none")
    with pytest.raises(ValueError, match="extract date"):
        simulate(10, 1, tmp_path / "none", date(2010, 1, 1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="did not write"):
        simulate(10, 1, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_the_command_replaces_an_extract_whole(tmp_path: Path) -> None:
    out = str(tmp_path / "extract")
    assert command.main(["--patients", "40", "--out", out, "--clean"]) == 0
    (tmp_path / "extract" / "sim_av_gene.csv").write_text("stale")
    assert (
        command.main(
            ["--patients", "30", "--seed", "2", "--out", out, "--extract-date", "2023-01-31"]
        )
        == 0
    )
    assert (tmp_path / "extract" / "sim_av_gene.csv").read_text() != "stale"
    assert (
        json.loads((tmp_path / "extract" / "truth.json").read_text())["extract_date"]
        == "2023-01-31"
    )
    (tmp_path / "extract" / "thesis.txt").write_text("precious")
    with pytest.raises(Refusal, match=r"holds thesis.txt, which this command did not write"):
        command.main(["--patients", "30", "--out", out, "--clean"])
    assert (tmp_path / "extract" / "thesis.txt").read_text() == "precious"
    with pytest.raises(ValueError, match="exclude"):
        command.main(["--patients", "30", "--out", out, "--clean", "--dirt", "every-rule"])
