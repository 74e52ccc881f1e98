"""What the card says to a patient: true figures, rounded against us, in words."""

from __future__ import annotations

import math
import re

import pytest

from pipeline.dp.membership import largest_power
from pipeline.dp.renyi import rdp_bound, rdp_limit
from pipeline.released import card_patients
from pipeline.released.membership import Share, membership_facts

ORDER, LIMIT = rdp_bound(10.0, 1e-6)


def share(population: str = "people", charges: int = 1, rdp: float = LIMIT / 54) -> Share:
    return Share(population=population, charges=charges, order=ORDER, rdp=rdp, rdp_ceiling=LIMIT)


def test_the_figures_are_those_of_the_sum():
    facts = membership_facts([share(charges=3, rdp=0.3)])
    for when, rdp in (("so_far", 0.3), ("ceiling", LIMIT)):
        assert [(one["false_alarm"], one["found_at_most"]) for one in facts[when]] == [
            (alarm, largest_power(ORDER, rdp, alarm)) for alarm in (0.01, 0.001)
        ]


def test_populations_that_may_hold_the_same_patient_add_up_at_the_smallest_order():
    order, limit = rdp_bound(3.0, 1e-6)
    other = Share(population="others", charges=2, order=order, rdp=0.2, rdp_ceiling=limit)
    assert order > ORDER
    facts = membership_facts([share(rdp=0.1), other])
    assert facts["order"] == ORDER and facts["rdp"] == pytest.approx(0.3)
    assert facts["so_far"] == membership_facts([share(rdp=math.fsum((0.1, 0.2)))])["so_far"]
    alone = membership_facts([share(rdp=0.1)])
    assert facts["so_far"][0]["found_at_most"] > alone["so_far"][0]["found_at_most"]


def test_a_patient_can_read_it():
    first, second = membership_facts([share()])["words"]
    assert "from the one release so far" in first
    assert "1 of 100 people who are not in it" in first
    assert "Of 100 patients who are in the data he or she then finds at most 3" in first
    assert "1 of 1,000 people who are not in it" in first and "at most 5 of 1,000" in first
    assert "at most 100 of 100" in second and "at most 565 of 1,000" in second
    for word in ("epsilon", "Renyi", "delta", "divergence", "power", "false alarm"):
        assert word not in first + second
    assert "\n".join((first, "", second)) in "\n".join(
        card_patients.markdown({"words": [first, second]})
    )


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.9, 1.0])
def test_no_figure_in_words_is_below_the_bound(part):
    facts = membership_facts([share(rdp=part * LIMIT)])
    of_100 = int(re.search(r"finds at most ([\d,]+)\.", facts["words"][0])[1])
    assert of_100 >= 100 * facts["so_far"][0]["found_at_most"] - 1e-6
    assert of_100 <= 100 * facts["so_far"][0]["found_at_most"] + 1
    if part == 0:
        assert of_100 == 1  # nothing was spent: it is guessing


def test_the_ceiling_covers_a_budget_that_is_raised_later():
    raised = Share(
        population="people", charges=1, order=ORDER, rdp=0.1,
        rdp_ceiling=rdp_limit(ORDER, 12.0, 1e-6),
    )  # fmt: skip
    opened, later = (membership_facts([one])["ceiling"] for one in (share(), raised))
    assert all(
        one["found_at_most"] < other["found_at_most"]
        for one, other in zip(opened, later, strict=True)
    )
