"""The plan of a published draw for its card, and what the charged noisy counts know of its
groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.draw_plan import DrawPlan
from pipeline.estimates.plan_evidence import plan_evidence
from pipeline.models.synthesizer.model import Synthesizer


def plan_facts(model: Path, plan: DrawPlan, rows: int) -> dict[str, Any] | None:
    """The plan, in words too, and how sure its groups are by the charged noisy counts of the model
    in this folder; None for an extract that was drawn as the model says.
    """
    if not plan:
        return None
    synthesizer = Synthesizer.load(model)
    cells = [cell.conditions for cell in synthesizer.plan_cells(plan, rows)]
    evidence = plan_evidence(synthesizer.schema, synthesizer.noisy_counts, plan, cells)
    return {
        "asked": plan.to_json(),
        "words": plan.in_words(),
        "evidence": [str(group) for group in evidence],
        "rare": sum(group.is_rare for group in evidence),
    }
