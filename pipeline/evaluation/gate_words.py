"""What the gate on synthetic rows warns of, in words: for the report, the log, MLflow and the card.
It rests on synthetic rows alone (privacy_rules.md 4), so it may be published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class GateWarning:
    """What the gate on synthetic rows warns of; it stops nothing."""

    rule: str  # as the gate names it: "clinical rule 29"
    words: str  # one sentence, what is odd
    rate: float  # share of rows, 0 to 1; NaN where it is no share
    allowed: tuple[float, float] | None = None  # shares between which nothing is said
    rests_on_synthetic: bool = True  # False: it compares with figures of real patients

    def __str__(self) -> str:
        """One line of plain text."""
        share = f"; {self.share}" if self.share else ""
        expected = f" (expected {self.expected})" if self.allowed else ""
        return f"{self.words}{share}{expected} [{self.rule}]"

    @property
    def share(self) -> str:
        """44% of rows; nothing where it is no share."""
        return "" if math.isnan(self.rate) else f"{_percent(self.rate)} of rows"

    @property
    def expected(self) -> str:
        """4% to 15%, at most 5%, at least 50%, none."""
        low, high = self.allowed or (0.0, 1.0)
        if low == 0:
            return "none" if high == 0 else f"at most {_percent(high)}"
        return f"at least {_percent(low)}" if high == 1 else f"{_percent(low)} to {_percent(high)}"


def _percent(share: float) -> str:
    """44%, 1.5%, 0.02%."""
    text = f"{100 * share:.2f}" if share < 0.01 else f"{100 * share:.1f}"
    return f"{text.rstrip('0').rstrip('.')}%"


def gate_warnings(gate: Mapping[str, Any]) -> list[GateWarning]:
    """The rules that warn, and of other tables the expectations. gate: what its gate.json says."""
    rules = gate.get("rules", ())
    numbers = {rule["rule"] for rule in rules}
    return [_rule_warning(rule) for rule in rules if rule["status"] == "warn"] + [
        GateWarning(rule="expectation", words=text, rate=math.nan)
        for text in gate.get("warnings", ())
        if not any(f"rule {number}" in text for number in numbers)
    ]


def _rule_warning(rule: Mapping[str, Any]) -> GateWarning:
    """A share of rows with the shares that are allowed; a mean in words."""
    name, rate = f"clinical rule {rule['rule']}", rule.get("rate")
    low, high = rule.get("lowest"), rule.get("highest")
    if rate is None or max(rate, high or 0.0) > 1:
        ends = (f"from {low:g}" if low is not None else "", f"up to {high:g}" if high else "")
        words = f"{rule['title']}: {'unknown' if rate is None else f'{rate:.3g}'}"
        return GateWarning(
            rule=name, words=f"{words}, expected {' '.join(filter(None, ends))}", rate=math.nan
        )
    allowed = (low or 0.0, 1.0 if high is None else float(high))
    return GateWarning(rule=name, words=rule["title"], rate=float(rate), allowed=allowed)
