"""What a card says of the plan by which its extract was drawn: then it is no picture of the
population, and a group that was rare in the source is told from larger ones.
"""

from __future__ import annotations

from typing import Any


def markdown(plan: dict[str, Any] | None) -> list[str]:
    """The section of the card; nothing without a plan."""
    if plan is None:
        return []
    lines = [
        "## Drawn to a plan",
        "",
        "Its shares are those that were asked for, **not the population's**; within the groups",
        "patients are as the model has them. The folder `estimates/` speaks of the population.",
        "",
        *[f"- {line}" for line in plan["words"]],
        "",
    ]
    if plan["evidence"]:
        lines += [
            f"What the charged noisy counts know of these groups ({plan['rare']} too rare):",
            "",
            *[f"- {line}" for line in plan["evidence"]],
            "",
        ]
    return lines
