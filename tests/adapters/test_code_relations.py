"""The relations between public code lists that the declaration leans on: no combination of parents
leaves nothing to choose.
"""

import pytest
from extracts import pathways

from pipeline.schema.code_relations import categories, relation, schedule_name, stage_group
from pipeline.schema.codes import drug_regimens, radiotherapy_schedules, tumour_sites


def test_every_stage_group_of_a_site_has_a_stage():
    for site, groups in relation("sites.stage_groups").items():
        for group in groups:
            both = set(relation("stage_groups.stages")[group]) & set(relation("sites.stages")[site])
            assert both, (site, group)
            assert {stage_group(stage) for stage in both} == {group}


def test_every_site_is_in_its_group_and_of_some_sex():
    for group, members in relation("site_groups.sites").items():
        assert members, group
        assert all(tumour_sites.sites()[site].group == group for site in members)
    assert set(relation("sites.sexes")["C61"]) == {"1"}
    assert "C56" not in relation("sexes.sites")["1"]
    assert set(relation("sexes.sites")["2"]) | set(relation("sexes.sites")["1"]) == set(
        categories("sites")
    )


def test_metastasis_follows_the_stage_where_tnm_is_used():
    for site in categories("sites"):
        tnm = relation("sites.tnm").get(site)
        for stage in relation("sites.stages")[site]:
            by_stage = relation("stage_groups.m")[stage_group(stage)]
            assert tnm is None or set(tnm) & set(by_stage), (site, stage)


def test_a_regimen_suits_the_sex_of_its_sites():
    for site, names in relation("sites.regimens").items():
        for name in names:
            assert set(tumour_sites.sites()[site].sexes) <= set(
                drug_regimens.regimens()[name].sexes
            )
    assert "BCG INTRAVESICAL" in relation("sites.regimens")["C67"]
    assert "BCG INTRAVESICAL" not in relation("sites.regimens")["C50"]


def test_a_schedule_names_one_modality_at_a_site():
    for site in tumour_sites.sites().values():
        found = [
            (schedule_name(s.dose, s.fractions), s.modality)
            for s in radiotherapy_schedules.schedules()[site.group]
            if s.modality != radiotherapy_schedules.BRACHYTHERAPY or site.brachytherapy
        ]
        assert len({name for name, _ in found}) == len(set(found)), site.code
        assert set(relation("sites.schedules")[site.code]) == {name for name, _ in found}
    assert schedule_name(36.25, 5) == "36.25/5"
    assert schedule_name(40.0, 15) == "40/15"


def test_relations_and_lists_fit_each_other():
    for implication in pathways().implications:
        then = pathways().patients[implication.then]
        for value, allowed in implication.allowed.items():
            assert value in pathways().patients[implication.given].categories, (
                implication.given,
                value,
            )
            assert {code for code in allowed if code is not None} <= set(then.categories), (
                implication.then,
                value,
            )
            assert then.nullable or None not in allowed, (implication.then, value)
    for legal in pathways().events.legal_codes:
        for allowed in legal.allowed.values():
            assert set(allowed) <= set(pathways().events.types[legal.type].codes), legal.type


@pytest.mark.parametrize("find", [categories, relation])
def test_an_unknown_name_is_a_key_error(find):
    with pytest.raises(KeyError):
        find("no such list")
