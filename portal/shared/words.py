"""Figures of privacy in plain words, for people who ask and for people who decide."""

from __future__ import annotations

import math
from fractions import Fraction

FRACTIONS = {
    Fraction(1, 2): "half",
    Fraction(1, 3): "a third",
    Fraction(2, 3): "two thirds",
    Fraction(1, 4): "a quarter",
    Fraction(3, 4): "three quarters",
    Fraction(1, 5): "a fifth",
    Fraction(2, 5): "two fifths",
    Fraction(3, 5): "three fifths",
    Fraction(4, 5): "four fifths",
    Fraction(1, 6): "a sixth",
    Fraction(1, 8): "an eighth",
    Fraction(1, 10): "a tenth",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
STRENGTHS = (  # up to which epsilon, and what it is
    (0.5, "very strong"),
    (1.0, "strong"),
    (3.0, "moderate"),
    (math.inf, "weak"),
)


def share_in_words(share: float) -> str:
    """A share of something, from 0: "a fifth", "nearly all", "one part in 55".

    >>> share_in_words(0.21), share_in_words(0.97), share_in_words(0.01)
    ('about a fifth', 'nearly all', 'one part in 100')
    """
    if share > 1:
        return "more than all"
    if share > 0.9:
        return "all" if share == 1 else "nearly all"
    if share < 0.08:
        return f"one part in {max(1, round(1 / share)):,}" if share > 0 else "nothing"
    nearest = min(FRACTIONS, key=lambda one: abs(float(one) - share))
    is_near = math.isclose(float(nearest), share, rel_tol=0.01)
    return f"{'' if is_near else 'about '}{FRACTIONS[nearest]}"


def number_in_words(number: int) -> str:
    """
    >>> number_in_words(4), number_in_words(12)
    ('four', '12')
    """
    return NUMBERS[number] if number < len(NUMBERS) else f"{number:,}"


def quote_in_words(share: float, how_many_fit: int) -> str:
    """What a training would use. `share`: of what is left, 0 to 1; `how_many_fit`: such trainings,
    this one counted.

    >>> quote_in_words(0.2, 5)
    'This uses a fifth of what is left of the privacy budget; four more like it would fit.'
    """
    if not how_many_fit:
        return (
            "This asks for more than is left of the privacy budget: a smaller epsilon may fit, and"
            " draws from a published model are free."
        )
    more = how_many_fit - 1
    return (
        f"This uses {share_in_words(share)} of what is left of the privacy budget;"
        f" {number_in_words(more)} more like it would fit."
    )


def epsilon_in_words(epsilon: float) -> str:
    """How strong a guarantee is.

    >>> epsilon_in_words(1.0).partition(":")[0], epsilon_in_words(1.0)[-15:]
    ('strong', 'a factor of 2.7')
    """
    return (
        f"{strength(epsilon)}: the odds of whatever somebody guesses about a patient change at most"
        f" by a factor of {factor(epsilon)}"
    )


def strength(epsilon: float) -> str:
    """
    >>> strength(0.5), strength(9.0)
    ('very strong', 'weak')
    """
    return next(word for most, word in STRENGTHS if epsilon <= most)


def factor(epsilon: float) -> str:
    """By how much odds may change: e to the epsilon.

    >>> factor(1.0)
    '2.7'
    """
    return f"{math.exp(epsilon):,.1f}"
