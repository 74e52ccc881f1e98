"""The published tables of datasets/known/england.yaml: read as they were printed, consistent with
one another, each with a source that a reader can look up; and the wrong ones of the benchmark.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from bench.wrong_known import CASES, with_wrong_tables
from pipeline.schema import document
from pipeline.schema.codes import tumour_sites
from pipeline.schema.reader import read_schema
from pipeline.schema.values import KnownTable, Schema

ROOT = Path(__file__).resolve().parents[2]
# All malignant tumours (C00 to C97) of 2017 at 20 to 34, 35 to 49, 50 to 64, and from 65 on, as the
# source of site_by_sex_and_age prints them beside the sites
ALL_MALIGNANT = {"1": [3166, 11062, 48451, 169250], "2": [4833, 19741, 49698, 132508]}
REGISTRY_YEARS = (2013, 2019)
PUBLISHERS = {
    "Health Data Insight": REGISTRY_YEARS,
    "NHS England": REGISTRY_YEARS,
    "NHS Digital": REGISTRY_YEARS,
    "Public Health England": REGISTRY_YEARS,
    "International Agency for Research on Cancer": REGISTRY_YEARS,
    "UICC": REGISTRY_YEARS,
    # stages were too often unknown in the rapid data before 2023
    "Cancer Research UK": (2023, 2023),
    # bodies: no distribution of England was found printed
    "Centers for Disease Control and Prevention": (2009, 2012),
}


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read_schema(ROOT / "datasets" / "cancer_pathways.yaml")


@pytest.fixture(scope="module")
def printed() -> dict[str, dict[str, list[list[int]]]]:
    """Table -> counts, as they stand in the file."""
    tables = document.read(ROOT / "datasets" / "known" / "england.yaml").value["tables"]
    return {name: table["counts"] for name, table in tables.items()}


def named(schema: Schema, name: str) -> KnownTable:
    return next(table for table in schema.known if table.name == name)


def shares(table: KnownTable) -> dict[tuple[str, ...], float]:
    """Share by the first value, or the lowest value, of each level."""
    names = [
        [str(level.values[0]) if level.values else f"{level.low:g}" for level in levels]
        for levels in table.levels
    ]
    return dict(zip(product(*names), table.shares, strict=True))


def test_every_table_says_who_published_it_and_of_when(schema: Schema) -> None:
    assert len(schema.known) == len({table.name for table in schema.known}) > 20
    for table in schema.known:
        spans = [years for name, years in PUBLISHERS.items() if name in table.source]
        years = [int(year) for year in table.year.split(" to ")]
        assert any(first <= min(years) <= max(years) <= last for first, last in spans), table.name
        assert 300 <= table.weight <= 3000, table.name


def test_the_sites_add_up_to_the_published_totals(
    printed: dict[str, dict[str, list[list[int]]]],
) -> None:
    """The unknown primaries stand in the table of groups alone."""
    sites = printed["site_by_sex_and_age"]
    unknown = printed["site_group_by_sex_and_age"]["Unknown primary"]
    for row, sex in enumerate(("1", "2")):
        malignant = [counts[row] for site, counts in sites.items() if site.startswith("C")]
        sums = [sum(column) for column in zip(unknown[row], *malignant, strict=True)]
        assert sums == ALL_MALIGNANT[sex]


def test_groups_are_the_sums_of_their_sites(
    printed: dict[str, dict[str, list[list[int]]]],
) -> None:
    sites, groups = printed["site_by_sex_and_age"], printed["site_group_by_sex_and_age"]
    group_of = {code: site.group for code, site in tumour_sites.sites().items()}
    for group in set(groups) - {"Unknown primary"}:
        there = [sites[code] for code in sites if group_of[code] == group]
        for row in range(2):
            sums = [sum(column) for column in zip(*[one[row] for one in there], strict=True)]
            assert groups[group][row] == sums, group
    one_way, by_group = printed["site"], printed["site_group"]
    for group in set(by_group) - {"Unknown primary"}:
        assert by_group[group] == sum(n for code, n in one_way.items() if group_of[code] == group)


def test_what_a_clinician_would_look_for_is_there(schema: Schema) -> None:
    cells = shares(named(schema, "site_by_sex_and_age"))
    site = {
        (code, sex): sum(share for (c, s, _), share in cells.items() if (c, s) == (code, sex))
        for code, sex in {(code, sex) for code, sex, _ in cells}
    }
    assert site["C50", "1"] / (site["C50", "1"] + site["C50", "2"]) < 0.01
    assert site["C73", "2"] > 2 * site["C73", "1"] and site["C67", "1"] > 2 * site["C67", "2"]
    assert cells["C61", "1", "20"] + cells["C61", "1", "35"] < 0.02 * site["C61", "1"]
    assert cells["C62", "1", "20"] + cells["C62", "1", "35"] > 0.8 * site["C62", "1"]
    assert cells["D06", "2", "20"] + cells["D06", "2", "35"] > 0.9 * site["D06", "2"]
    assert site["C61", "2"] == site["C53", "1"] == site["C56", "1"] == site["D07", "1"] == 0
    early = shares(named(schema, "early_stage_by_site"))
    by_site = {code: early[code, "1"] / (early[code, "1"] + early[code, "3"]) for code, _ in early}
    assert by_site["C25"] == pytest.approx(0.226, abs=0.001)
    assert by_site["C62"] == pytest.approx(0.92, abs=0.001)


def test_the_related_columns_are_ordered_pairs_and_triples_of_theirs(schema: Schema) -> None:
    assert ("SITE_ICD10_O2_3CHAR", "GENDER") in schema.related
    assert {len(names) for names in schema.related} == {2, 3}
    for name in ("adult", "credit_default", "hr_attrition", "uci_heart", "uganda_malaria"):
        other = read_schema(ROOT / "datasets" / f"{name}.yaml")
        assert other.known == other.related == ()


def test_the_wrong_tables_are_of_another_country(schema: Schema) -> None:
    wrong = with_wrong_tables(schema)
    site, group = (shares(table) for table in wrong.known)
    assert sum(site.values()) == pytest.approx(1) and sum(group.values()) == pytest.approx(1)
    codes = [code for codes in CASES for code in codes]
    assert len(set(codes)) == len(codes)
    assert set(codes) <= set(schema.patients["SITE_ICD10_O2_3CHAR"].categories)
    assert {name for (name,) in group} <= set(schema.patients["SITE_GROUP"].categories)
    true = shares(named(schema, "site_group"))
    assert group["Head and neck",] > 5 * true["Head and neck",]
    assert group["Prostate",] < true["Prostate",] / 2 and ("Skin",) not in group
