"""Asks every question and says what is wrong."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

from pipeline import environment
from pipeline.catalog import Home
from pipeline.cli.console import say
from pipeline.cli.doctor import keys, ledger, machine, runs, services, settings, stores
from pipeline.cli.doctor.questions import WRONG, Answer, Question, answer

QUESTIONS = tuple(
    question
    for part in (settings, machine, ledger, keys, stores, runs, services)
    for question in part.QUESTIONS
)


def answers() -> Iterator[Answer]:
    """To every question about the home in use, in order; none hides another."""
    is_relative = environment.is_home_relative()  # before anybody makes it absolute
    home = Home.find()
    first = Question("the home's path is absolute", partial(settings.home_path, is_relative))
    return (answer(home, question) for question in (first, *QUESTIONS))


def run(options: argparse.Namespace) -> int:
    """Prints a line for each question, and below it what to do; 1 where something is wrong."""
    states = []
    for one in answers():
        states.append(one.state)
        say(f"{one.state:<8} {one.title}")
        for fault in one.faults:
            say(f"         {fault.text}")
    n_wrong = states.count(WRONG)
    say(
        f"{len(states)} questions: {n_wrong or 'nothing'} wrong,"
        f" {states.count('warning') or 'no'} warning(s)."
    )
    return 1 if n_wrong else 0
