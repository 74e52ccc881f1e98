"""What is opened is what is charged (privacy_rules.md 16): on walks in which somebody edits the
workspace between two stages, no row is opened but under a charge to its own population, its
cohorts and the state of the source that it was read from, and no card says of others what was
charged for these.

An edit is made before any stage, and taken back before any other (audit/walks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from audit.findings import Check, Finding
from audit.walks import Walk, states_of, write_sources


def _walks(stages: Sequence[str], edits: Sequence[Sequence[bool]], folder: Path) -> Finding:
    """Every edit on every walk. edits: by walk and stage whether the workspace is edited then."""
    sources, n_walks, n_opened, n_said = write_sources(folder / "sources"), 0, 0, 0
    for edit, states in states_of(sources).items():
        for number, edited in enumerate(edits):
            walk = Walk(folder / f"{edit} {number}", states)
            if faults := walk.run(stages, edited):
                when = [s for s, is_edited in zip(stages, edited, strict=True) if is_edited]
                return Finding(
                    holds=False, message=f"{edit}, edited at {', '.join(when)}: {faults[0]}"
                )
            n_walks, n_opened, n_said = n_walks + 1, n_opened + walk.n_opened, n_said + walk.n_said
    return Finding(
        holds=n_opened > 0 and n_said > 0,
        message=(
            f"on {n_walks} walks with an edit between stages, all rows that were opened"
            f" ({n_opened} times) and all that was said of them ({n_said} times) are as charged"
        ),
        figures={"walks": n_walks, "opened": n_opened, "said": n_said},
    )


WALK = ("ingest", "confirm", "reserve", "train", "sample", "publish")
RESUMED = ("ingest", "confirm", "reserve", "dying_train", "ingest", "confirm", "train", "publish")
_EDITED = ("ingest",), ("confirm", "reserve"), ("sample", "publish")
_QUICK = [tuple(name in edited for name in WALK) for edited in _EDITED]
_AFTER_DEATH = [(False, False, False, False, *rest) for rest in product((False, True), repeat=4)]
CHECKS: tuple[Check, ...] = (
    Check(
        name="what is opened is charged",
        family="adaptive adversary",
        run=partial(_walks, WALK, _QUICK),
        asks=(
            "whatever of the workspace is edited between two stages, rows are opened under a charge"
            " to their own population, cohorts and source, and cards say what was charged"
        ),
    ),
    Check(
        name="what is opened is charged, on every walk",
        family="adaptive adversary",
        run=partial(_walks, WALK, list(product((False, True), repeat=len(WALK)))),
        asks="the same, with every edit made and taken back before any stage",
        long=True,
    ),
    Check(
        name="what is opened is charged, after a resume",
        family="adaptive adversary",
        run=partial(_walks, RESUMED, _AFTER_DEATH),
        asks="the same where training dies, and ingest is run again before it goes on",
        long=True,
    ),
)
