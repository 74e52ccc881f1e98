"""What a run does now, in words, and how far that is on its way."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

QUEUED = "queued"  # no task of the DAG that a request starts goes on yet
WORDS: Mapping[str, str] = MappingProxyType(
    {
        QUEUED: "waiting for its turn",
        "turn": "waiting for its turn",  # a run of the same population goes on
        "check": "checking the request",
        "check_source": "looking for the source",
        "prepare": "preparing",
        "ingest": "reading the source",
        "validate": "validating",
        "confirmation": "waiting for a person to confirm the source",
        "confirm": "confirming",
        "reserve": "charging the budget",
        "train": "training",
        "sample": "drawing patients",
        "evaluate": "evaluating",
        "gate": "checking the rules",
        "approval": "waiting for a person to approve",
        "approve": "recording the approval",
        "publish": "publishing",
    }
)
# the steps that a person follows, in order; the others are between two of them
_TRAINING = (
    "check",
    "ingest",
    "validate",
    "reserve",
    "train",
    "sample",
    "evaluate",
    "approval",
    "publish",
)
_DRAW = ("check", "prepare", "sample", "gate", "publish")
_ORDER = {word: place for place, word in enumerate(WORDS.values())}


def steps(kind: str, words: str) -> list[tuple[str, str]]:
    """The steps of a request of this kind ("draw", "training"), each with "done", "now" or "" by
    what goes on now, in the words above.
    """
    path = [WORDS[task] for task in (_DRAW if kind == "draw" else _TRAINING)]
    place = _ORDER.get(words, -1)
    now = max((step for step in path if _ORDER[step] <= place), key=_ORDER.__getitem__, default="")
    return [
        (step, "now" if step == now else "done" if _ORDER[step] < place else "") for step in path
    ]
