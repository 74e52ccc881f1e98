"""The stages of a run, in order: the one list that the command line, dvc.yaml (a test compares) and
the DAGs go by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.refusal import Refusal

# exit code of a stage that says no for a stated reason: doing it again would say no again
REFUSED = 2
# exit code of `check-source` when there is nothing new: Airflow marks the task skipped
UNCHANGED = 99
# the user of Airflow by whom the portal starts runs and answers
PORTAL_USER = "portal"
# commands in a run's workspace that are no stages
IN_A_RUN = ("needs-confirmation", "enough-budget", "needs-approval", "gate")
# last line of `needs-approval`
BY_ITSELF, BY_A_PERSON = "approved by the run itself", "approved by a person"
# Who is asked to let one run out. A run may only be made stricter than params.yaml, never looser
# (privacy_rules.md 4).
AS_DECLARED, A_PERSON = "as declared", "a person approves"
APPROVALS = (AS_DECLARED, A_PERSON)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage. `module` holds `run(workspace, params, schema)`; `reads_rows` stages may meet
    patients' rows in an error message.

    `on_retry` tells people what happens where the stage is run again.
    """

    name: str
    module: str
    reads_rows: bool
    summary: str
    on_retry: str
    seconds: int  # for 5,000 patients, measured on two cores: bench/results/refresh.json


_AFRESH = "A retry begins again from the start."
_ALL = (
    Stage(
        name="ingest",
        module="pipeline.restricted.ingest.stage",
        reads_rows=True,
        summary=(
            "read the source tables, cast and repair them patient by patient, split off the holdout"
        ),
        on_retry=_AFRESH,
        seconds=6,
    ),
    Stage(
        name="validate",
        module="pipeline.restricted.validate",
        reads_rows=True,
        summary="run the Great Expectations suites on the tables that ingest wrote",
        on_retry=_AFRESH,
        seconds=7,
    ),
    Stage(
        name="confirm",
        module="pipeline.restricted.confirm",
        reads_rows=True,
        summary="stop before the charge where too little is left; a person confirms real data",
        on_retry="A retry keeps the answer that was given about these rows.",
        seconds=2,
    ),
    Stage(
        name="reserve",
        module="pipeline.restricted.reserve",
        reads_rows=False,
        summary="charge the ledger for the run's joint mechanism, or refuse",
        on_retry="A retry charges nothing more: a release id is charged once.",
        seconds=4,
    ),
    Stage(
        name="train",
        module="pipeline.restricted.train",
        reads_rows=True,
        summary="fit both models under the reserved mechanism; resumes from its checkpoint",
        on_retry="A retry goes on from the checkpoint; no noisy count is measured twice.",
        seconds=55,
    ),
    Stage(
        name="sample",
        module="pipeline.released.sample",
        reads_rows=False,
        summary="draw synthetic patients and write the extract's tables",
        on_retry=_AFRESH,
        seconds=7,
    ),
    Stage(
        name="evaluate",
        module="pipeline.restricted.evaluate",
        reads_rows=True,
        summary="report to the custodian; stop a release whose synthetic rows break a hard rule",
        on_retry=_AFRESH,
        seconds=52,
    ),
    Stage(
        name="approve",
        module="pipeline.restricted.approve",
        reads_rows=False,
        summary="record who approved the release",
        on_retry="A retry keeps the answer that was given.",
        seconds=3,
    ),
    Stage(
        name="publish",
        module="pipeline.released.publish",
        reads_rows=False,
        summary="make the release visible: extract, card, manifest, model, tag",
        on_retry="A retry finishes what was begun.",
        seconds=11,
    ),
)
STAGES: Mapping[str, Stage] = MappingProxyType({stage.name: stage for stage in _ALL})


def announcement(stage: str) -> str:
    """What a person reads when a stage begins: which of how many, what it does, how long that may
    take.
    """
    number = list(STAGES).index(stage) + 1
    return (
        f"Stage {number} of {len(STAGES)}, {stage}: {STAGES[stage].summary}"
        f" ({_about(STAGES[stage].seconds)} for 5,000 patients on two free cores)"
    )


def _about(seconds: int) -> str:
    return "seconds" if seconds < 10 else f"about {round(seconds, -1)} s"


def repro_command(stage: str) -> str:
    """The shell line that runs one stage in a workspace: DVC runs it, then its lock goes to the
    restricted version store.

    Where a kill or a full disk left half of DVC's lock, it is mended and the stage tried again. No
    run cache: it could hand back a reservation without a charge. A refusal keeps its exit code,
    which dvc would hide, and says its reason again in the last line. What dvc prints on standard
    output goes nowhere: hints for people who commit and push by hand. Errors, and all that stages
    say, are on standard error.
    """
    if stage not in STAGES:
        raise Refusal(f"there is no stage {stage!r}; the stages are {', '.join(STAGES)}")
    repro = f"dvc repro --single-item --no-run-cache {stage} >/dev/null"
    return (
        f"rm -f restricted/refused; {repro}"
        f" || {{ [ ! -e restricted/refused ] && python -m pipeline mend-lock && {repro}; }}"
        f" || {{ cat restricted/refused 2>/dev/null && exit {REFUSED}; exit 1; }}"
        f"; python -m pipeline record {stage}"
    )
