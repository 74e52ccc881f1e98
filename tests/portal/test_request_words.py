"""Figures of privacy in plain words."""

from __future__ import annotations

import doctest

import pytest

from portal.shared import words


def test_the_examples_of_the_words_are_true():
    done = doctest.testmod(words)
    assert done.failed == 0 and done.attempted >= 6


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.2, "a fifth"),
        (0.5, "half"),
        (0.49, "about half"),
        (1.0, "all"),
        (1.5, "more than all"),
        (0.0, "nothing"),
        (1e-6, "one part in 1,000,000"),
    ],
)
def test_a_share_in_words(share, said):
    assert words.share_in_words(share) == said


def test_what_does_not_fit_is_said_with_what_to_do():
    assert "a smaller epsilon may fit" in words.quote_in_words(1.7, 0)
    assert words.quote_in_words(1.0, 1).endswith("no more like it would fit.")
