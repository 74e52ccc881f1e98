"""Property: whoever the newcomer is, no mechanism is moved by more than it claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import neighbours, people
from audit.model_rows import behind, model_rows
from audit.neighbours import FitRecord
from audit.people import Extract
from pipeline.dp.selection import PrivateChoice
from pipeline.models.synthesizer.plan import Plan
from pipeline.schema.values import Schema

CELLS = {
    "sex": ["F", "M", "", "X"],
    "site": ["breast", "colon", "lung", "toe", ""],
    "stage": ["1", "3", "", "9"],
    "cost": ["0", "12.5", "1000", "-1", "1e400", "-inf", "nan", ""],
    "relapse": ["no", "yes", ""],
    "joined": ["2014-01-10", "1999-01-01", "2035-01-01", ""],
    "left": ["2016-01-10", "2014-01-10", "2013-01-01", ""],
    "reason": ["closed", "moved", "", "?"],
}
cells = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in CELLS.items()}
)
visits = st.tuples(
    st.integers(-400, 4000),
    st.sampled_from(["DIAGNOSIS", "SURGERY", "REGIMEN", "CYCLE", "REGIMEN_END", "LEFT", "?"]),
    st.sampled_from(["", "A", "B", "biopsy", "mastectomy", "closed", "?"]),
    st.sampled_from(["", "curative", "?"]),
    st.sampled_from(["", "5.5", "nan", "-inf"]),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Schema, Plan, dict[int, FitRecord]]:
    """The declaration, its plan, and the fits of 12 patients and of nobody."""
    folder = tmp_path_factory.mktemp("base")
    schema = people.schema_in(folder)
    plan = neighbours.make_plan(schema)
    return (
        schema,
        plan,
        {
            n: neighbours.fit(schema, plan, model_rows(people.extract(n, 4)), folder / str(n))
            for n in (0, 12)
        },
    )


@pytest.mark.long
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(cells, min_size=0, max_size=3),
    log=st.lists(visits, max_size=30),
    n=st.sampled_from([0, 12]),
    repeat=st.sampled_from([1, 40]),
)
def test_no_newcomer_moves_a_mechanism_by_more_than_it_claims(
    base, tmp_path_factory, rows, log, n, repeat
) -> None:
    schema, plan, fits = base
    rows_of_visits = []
    for day, kind, code, intent, dose in log * repeat:
        rows_of_visits += people.patient_of(
            neighbours.FIRST, [(day, kind, {"code": code, "intent": intent, "dose": dose})]
        ).visits
    newcomer = model_rows(
        Extract([people.person(neighbours.FIRST, **changes) for changes in rows], rows_of_visits)
    )
    after = neighbours.fit(
        schema,
        plan,
        behind(newcomer, model_rows(people.extract(n, 4))),
        tmp_path_factory.mktemp("after"),
    )
    assert neighbours.faults(plan, fits[n], after) == []
    if rows:
        assert neighbours.furthest(fits[n], after, neighbours.NoisyCounts) == 1.0


def test_clip_norms_are_reached(base) -> None:
    """The bound of the clipped sums is put to the test: one patient alone moves them by nearly all
    of it.
    """
    _, _, fits = base
    sums = [
        float(np.linalg.norm(one.sums)) / one.bound for one in fits[12].runs if one.name == "DP-SGD"
    ]
    assert max(sums) > 2


def test_nobody_gives_nothing(base) -> None:
    """But for scores: these count how far from nobody today's model is."""
    _, _, fits = base
    sums = [one.sums for one in fits[0].runs if not isinstance(one.mechanism, PrivateChoice)]
    assert all((of == 0).all() for of in sums)
    assert len(sums) + 1 == len(fits[0].runs) == len(fits[12].runs)
