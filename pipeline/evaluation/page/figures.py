"""The report as JSON values, and as flat figures for the tracking of runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pipeline.evaluation.findings import Verdict
from pipeline.evaluation.page import tables, verdicts
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.parts import slug
from pipeline.evaluation.page.verdicts import Tally


def to_json(content: ReportContent) -> dict[str, Any]:
    """Everything on the page but the plots and what is ready HTML. What is no number is None."""
    return {
        "title": content.title,
        "release": content.release,
        "verdict": list(verdicts.sentences(content)),
        "warnings": _plain(content.warnings),
        "analyses": {number: _tally(one) for number, one in verdicts.tallies(content).items()},
        "subgroups": [_tally(one) for one in verdicts.groups(content)],
        "findings": _plain(content.findings),
        "fidelity": [
            {
                "name": one.name,
                "synthetic": _plain(one.synthetic),
                "best": _plain(one.best),
                "worst": _plain(one.worst),
                "from_worst_to_best": _plain(tables.position(one)),
                "is_higher_better": one.is_higher_better,
                "note": one.note,
            }
            for one in content.fidelity
        ],
        "utility": [
            {
                "target": one.target,
                "model": one.model,
                "on_real": _plain(one.on_real),
                "on_synthetic": _plain(one.on_synthetic),
            }
            for one in content.utilities
        ],
        "attacks": _plain(content.risks),
        "independent_pairs": _plain(content.independent_pairs),
        "links": dict(content.links),
    }


def _tally(one: Tally) -> dict[str, Any]:
    return {**_plain(one), "verdict": one.verdict.value}


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, sequences as lists, NaN and infinity as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def metrics(content: ReportContent) -> dict[str, float]:
    """Flat names for the tracking server, such as `report/analyses/A7_pass_share`."""
    return {
        f"report/{name}": float(value) for name, value in _metrics(content) if math.isfinite(value)
    }


def _metrics(content: ReportContent) -> Iterator[tuple[str, float]]:
    judged = 0
    same = 0
    for number, one in verdicts.tallies(content).items():
        yield f"analyses/{number}_pass_share", one.pass_share
        yield f"analyses/{number}_fail_share", one.fail_share
        judged += one.verdict is not Verdict.UNTESTED
        same += one.verdict is Verdict.PASS
    yield "analyses/compared", judged
    yield "analyses/same", same
    if groups := verdicts.groups(content):
        yield "analyses/worst_subgroup_fail_share", groups[0].fail_share
    yield "gate/warnings", len(content.warnings)
    for risk in content.risks:
        name = slug(risk.attack)
        yield f"attacks/{name}_advantage", risk.advantage.value
        yield f"attacks/{name}_rate", risk.rate.value
        yield f"attacks/{name}_control", risk.control.value
    yield "attacks/above_control", sum(risk.is_found for risk in content.risks)
    for figure in content.fidelity:
        yield f"fidelity/{slug(figure.name)}", figure.synthetic
        yield f"fidelity/{slug(figure.name)}_position", tables.position(figure)
    for model in content.utilities:
        name = f"{slug(model.target)}_{slug(model.model)}"
        yield f"utility/{name}_on_real", model.on_real.value
        yield f"utility/{name}_on_synthetic", model.on_synthetic.value
