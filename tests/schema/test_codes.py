"""The public code lists: whole, consistent with one another, and immutable."""

import dataclasses

import pytest

from pipeline.schema.codes import (
    drug_regimens,
    gene_panel,
    lists,
    radiotherapy_schedules,
    tumour_sites,
)


def test_every_list_says_where_it_comes_from() -> None:
    for file in sorted(lists.CODES.glob("*.yaml")):
        assert len(lists.read(file.name)["source"]) > 30, file.name


def test_sites_are_legal_icd10_and_four_digit_morphologies() -> None:
    for code, site in tumour_sites.sites().items():
        assert code == site.code and len(code) == 3
        assert all(code4.startswith(code) and len(code4) in (3, 4) for code4 in site.codes4)
        assert all(len(m) == 4 and m.isdigit() for m in site.morphologies) and site.morphologies
        assert all(b in lists.lookup("behaviour") for b in site.behaviours)
        assert all(s in lists.lookup("stage") for s in (*site.stages, *site.unknown_stages))
        assert all(s in lists.lookup("stage_system") for s in site.stage_systems)
        assert all(site.icdo3_of(code4).startswith(site.icdo3) for code4 in site.codes4)
    assert tumour_sites.sites()["C43"].icdo3_of("C435") == "C445"
    assert tumour_sites.sites()["C61"].icdo3_of("C61") == "C619"
    assert tumour_sites.sites()["C91"].staged_codes4 == ("C911",)


def test_sex_limits_follow_ndrs() -> None:
    for code, site in tumour_sites.sites().items():
        if "C51" <= code <= "C58" or code in ("D06", "D07"):
            assert site.sexes == ("2",), code
        elif "C60" <= code <= "C63":
            assert site.sexes == ("1",), code
        else:
            assert site.sexes == ("1", "2"), code


def test_regimens_have_legal_routes_drugs_in_all_cycles_and_one_benchmark_group() -> None:
    for name, regimen in drug_regimens.regimens().items():
        assert len(regimen.cycle_days) == regimen.cycles <= 30, name
        assert all(drug.route in lists.lookup("administration_route") for drug in regimen.drugs)
        assert all(intent in lists.lookup("regimen_intent") for intent in regimen.intents)
        for cycle in range(1, regimen.cycles + 1):
            rows = [
                day
                for drug in regimen.drugs
                if drug.first_cycle <= cycle <= drug.last_cycle
                for day in drug.days
            ]
            assert 1 <= len(rows) <= 6, f"{name}, cycle {cycle}"
            assert max(rows) < regimen.cycle_days[cycle - 1] or max(rows) == 1, (
                f"{name}: a day after the cycle's end"
            )


def test_each_group_has_regimens_and_schedules() -> None:
    for group in lists.site_groups():
        assert any(group in regimen.share for regimen in drug_regimens.regimens().values()), group
        kinds = {schedule.kind for schedule in radiotherapy_schedules.schedules()[group]}
        assert {"curative", "palliative"} <= kinds, group


def test_schedules_obey_the_dose_rules() -> None:
    for group, schedules in radiotherapy_schedules.schedules().items():
        for schedule in schedules:
            assert (
                0.5 <= schedule.dose / schedule.fractions <= 30
                and schedule.dose <= radiotherapy_schedules.max_dose_gy()
            ), group
            assert all(region in lists.lookup("rt_region") for region in schedule.regions)


def test_genes_have_distinct_codes_and_variants_in_the_list() -> None:
    listed = [gene.code for gene in gene_panel.genes().values()]
    assert len(set(listed)) == len(listed)
    for gene in gene_panel.genes().values():
        assert all(variant in lists.lookup("sequence_variant") for variant in gene.variants)
        assert bool(gene.variants) == (gene.kind == "DNASEQ_GAT"), gene.symbol
        assert all(test.group in lists.site_groups() for test in gene.tests)


def test_charlson_total_is_hierarchical() -> None:
    assert lists.charlson_total(["09"]) == 1
    assert lists.charlson_total(["09", "10"]) == 2
    assert lists.charlson_total(["15", "17", "01"]) == 4
    assert lists.charlson_total([]) == 0


def test_values_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tumour_sites.sites()["C50"].group = "Lung"  # type: ignore[misc]
    with pytest.raises(TypeError):
        lists.lookup("gender")["3"] = "new"  # type: ignore[index]
    with pytest.raises(ValueError, match="no list 'genders'"):
        lists.lookup("genders")
