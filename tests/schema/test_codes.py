"""The public code lists: whole, consistent with one another, and immutable."""

import dataclasses

import pytest

from pipeline.schema import codes


def test_every_list_says_where_it_comes_from() -> None:
    for file in sorted(codes.CODES.glob("*.yaml")):
        assert len(codes._read(file.name)["source"]) > 30, file.name


def test_sites_are_legal_icd10_and_four_digit_morphologies() -> None:
    for code, site in codes.sites().items():
        assert code == site.code and len(code) == 3
        assert all(code4.startswith(code) and len(code4) in (3, 4) for code4 in site.codes4)
        assert all(len(m) == 4 and m.isdigit() for m in site.morphologies) and site.morphologies
        assert all(b in codes.lookup("behaviour") for b in site.behaviours)
        assert all(s in codes.lookup("stage") for s in (*site.stages, *site.unknown_stages))
        assert all(s in codes.lookup("stage_system") for s in site.stage_systems)
        assert all(site.icdo3_of(code4).startswith(site.icdo3) for code4 in site.codes4)
    assert codes.sites()["C43"].icdo3_of("C435") == "C445"
    assert codes.sites()["C61"].icdo3_of("C61") == "C619"
    assert codes.sites()["C91"].staged_codes4 == ("C911",)


def test_sex_limits_follow_ndrs() -> None:
    for code, site in codes.sites().items():
        if "C51" <= code <= "C58":
            assert site.sexes == ("2",), code
        elif "C60" <= code <= "C63":
            assert site.sexes == ("1",), code
        else:
            assert site.sexes == ("1", "2"), code


def test_regimens_have_legal_routes_drugs_in_all_cycles_and_one_benchmark_group() -> None:
    for name, regimen in codes.regimens().items():
        assert len(regimen.cycle_days) == regimen.cycles <= 30, name
        assert all(drug.route in codes.lookup("administration_route") for drug in regimen.drugs)
        assert all(intent in codes.lookup("regimen_intent") for intent in regimen.intents)
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
    for group in codes.site_groups():
        assert any(group in regimen.share for regimen in codes.regimens().values()), group
        kinds = {schedule.kind for schedule in codes.radiotherapy()[group]}
        assert {"curative", "palliative"} <= kinds, group


def test_schedules_obey_the_dose_rules() -> None:
    for group, schedules in codes.radiotherapy().items():
        for schedule in schedules:
            assert (
                0.5 <= schedule.dose / schedule.fractions <= 30
                and schedule.dose <= codes.max_dose_gy()
            ), group
            assert all(region in codes.lookup("rt_region") for region in schedule.regions)


def test_genes_have_distinct_codes_and_variants_in_the_list() -> None:
    listed = [gene.code for gene in codes.genes().values()]
    assert len(set(listed)) == len(listed)
    for gene in codes.genes().values():
        assert all(variant in codes.lookup("sequence_variant") for variant in gene.variants)
        assert bool(gene.variants) == (gene.kind == "DNASEQ_GAT"), gene.symbol
        assert all(test.group in codes.site_groups() for test in gene.tests)


def test_charlson_total_is_hierarchical() -> None:
    assert codes.charlson_total(["09"]) == 1
    assert codes.charlson_total(["09", "10"]) == 2
    assert codes.charlson_total(["15", "17", "01"]) == 4
    assert codes.charlson_total([]) == 0


def test_values_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        codes.sites()["C50"].group = "Lung"  # type: ignore[misc]
    with pytest.raises(TypeError):
        codes.lookup("gender")["3"] = "new"  # type: ignore[index]
    with pytest.raises(ValueError, match="no list 'genders'"):
        codes.lookup("genders")
