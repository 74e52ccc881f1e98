"""Who answers for a run, and what was answered before: itself, or a person, by the answer that
Airflow's task hands over or at the terminal.
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import environment, files
from pipeline.catalog import Home, Restricted
from pipeline.environment import Answer
from pipeline.ledger import Ledger
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema


def answers_for_itself(schema: Schema) -> bool:
    """Whether ledger and declaration agree that the rows are simulated or public."""
    kinds = {one.name: one.kind for one in Ledger(Home.find().ledger).populations()}
    kind = kinds.get(schema.population.name)
    return kind in SELF_APPROVING_KINDS and schema.population.kind == kind


def answer(question: str) -> Answer | None:
    """Yes or no, and whose; None where nobody is there to be asked. Anything but yes is no."""
    if from_airflow := environment.approval_answer():
        return from_airflow
    if not sys.stdin.isatty():
        return None
    sys.stderr.write(f"{question} Type yes or no: ")
    sys.stderr.flush()
    return Answer(sys.stdin.readline().strip().lower() == "yes", getpass.getuser())


def refuse_own_answer(restricted: Restricted, users: Mapping[str, str], by: str) -> None:
    """Raises Refusal where the answer that Airflow hands over is by the person who asked for the
    run. `users`: `approve.airflow_users`. At a terminal nobody is compared: whoever has a shell in
    the restricted zone can write the answer's file, too.
    """
    if environment.approval_answer() is None:
        return
    asked_by = str((files.read_json(restricted.run) or {}).get("asked_by") or "")
    person, asking = (users.get(name, name).strip().lower() for name in (by, asked_by))
    if person == asking:
        raise Refusal(
            f"{by} asked for this run and cannot answer for it: nothing was recorded. Clear the"
            " task that asked, and have somebody else answer"
        )


def last_answer(path: Path, **subject: Any) -> dict[str, Any] | None:
    """The last of the answers in a file, a JSON line each, that has the fields of `subject`; None
    where there is none. A line that was cut off is none.
    """
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    answers: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]
    return next((one for one in reversed(answers) if subject.items() <= one.items()), None)
