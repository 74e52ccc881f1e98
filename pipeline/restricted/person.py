"""Asks a person: by the answer that Airflow's task hands over, or at the terminal."""

from __future__ import annotations

import getpass
import sys

from pipeline import environment
from pipeline.environment import Answer


def answer(question: str) -> Answer | None:
    """Yes or no, and whose; None where nobody is there to be asked. Anything but yes is no."""
    if from_airflow := environment.approval_answer():
        return from_airflow
    if not sys.stdin.isatty():
        return None
    sys.stderr.write(f"{question} Type yes or no: ")
    sys.stderr.flush()
    return Answer(sys.stdin.readline().strip().lower() == "yes", getpass.getuser())
