"""How far a request is, in words."""

from __future__ import annotations

import pytest

from portal.shared.steps import QUEUED, WORDS, steps


@pytest.mark.parametrize(
    ("kind", "task", "done", "now"),
    [
        ("training", "train", 4, "training"),
        ("training", "prepare", 0, "checking the request"),  # between two steps
        ("training", "approval", 7, "waiting for a person to approve"),
        ("training", "publish", 8, "publishing"),
        ("training", QUEUED, 0, ""),
        ("draw", "gate", 3, "checking the rules"),
        ("draw", "check", 0, "checking the request"),
    ],
)
def test_steps_before_are_done_and_one_is_now(kind, task, done, now):
    marks = dict(steps(kind, WORDS[task]))
    assert [step for step, mark in marks.items() if mark == "now"] == ([now] if now else [])
    assert sum(mark == "done" for mark in marks.values()) == done


@pytest.mark.parametrize("words", ["None", "", "nothing that is known"])
def test_unknown_words_are_no_step(words):
    assert not any(mark for _, mark in steps("training", words))
