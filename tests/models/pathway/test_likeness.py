"""Codes of a type that is like a static column: without counts to tell, as that column is."""

from __future__ import annotations

import numpy as np
import polars as pl

from bench.pathway_data import EXTRACT, read_declaration, simulate_log
from pipeline.models.pathway.draw.model import planned_coding
from pipeline.models.pathway.fit.heads import offset_of
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import for_size


def test_a_man_has_no_second_breast_cancer_by_noise() -> None:
    """The weights from which the fit starts follow the first tumours of each sex."""
    schema = read_declaration()
    plan = plan_pathways(schema, for_size(5000), 5000, EXTRACT)
    coding, tables = planned_coding(schema, plan), plan.tables
    table = next(t for t in tables if t.parts == ("GENDER", "first NEW_TUMOUR"))
    patients = simulate_log(schema, 4000, 3).patients
    start = np.exp(offset_of(coding, "NEW_TUMOUR", table, patients))
    assert np.allclose(start.sum(1), 1)
    codes = [
        coding.grammar.tokens[v][1]
        for v in coding.tokens_of(coding.grammar.type_names.index("NEW_TUMOUR"))
    ]
    men, women = (coding.static_codec("GENDER").encode(pl.Series([sex]))[0] for sex in ("1", "2"))
    breast, prostate = codes.index("C50"), codes.index("C61")
    assert start[men, breast] < 0.01 < 0.05 < start[women, breast]
    assert start[women, prostate] < 0.01 < 0.05 < start[men, prostate]


def test_a_type_that_is_like_nothing_starts_from_nothing() -> None:
    schema = read_declaration()
    plan = plan_pathways(schema, for_size(5000), 5000, EXTRACT)
    coding, tables = planned_coding(schema, plan), plan.tables
    table = next(t for t in tables if t.parts == ("SITE_GROUP", "first SACT_REGIMEN"))
    patients = simulate_log(schema, 200, 3).patients
    assert not offset_of(coding, "SACT_REGIMEN", table, patients).any()
