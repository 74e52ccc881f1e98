"""What a question of the doctor is, and how it is asked so that none hides another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.catalog import Home
from pipeline.refusal import Refusal, Unavailable

OK, WARNING, WRONG = "ok", "warning", "wrong"


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it should be, and what to do. A warning stops nothing."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Question:
    """`title`: what is as it should be. `ask` gives the faults of a home."""

    title: str
    ask: Callable[[Home], Iterator[Fault]]


@dataclass(frozen=True)
class Answer:
    """What became of one question; no fault: all is well."""

    title: str
    faults: tuple[Fault, ...]

    @property
    def state(self) -> str:
        """ok, warning or wrong."""
        if not self.faults:
            return OK
        return WARNING if all(fault.is_warning for fault in self.faults) else WRONG


def warning(text: str) -> Fault:
    return Fault(text, is_warning=True)


def answer(home: Home, question: Question) -> Answer:
    """Asks one question. What the pipeline itself refuses is a fault; what cannot be looked at is
    one, too, by the error's type alone: its message may quote what nobody expected.
    """
    faults: list[Fault] = []
    try:
        faults.extend(question.ask(home))
    except (Refusal, Unavailable) as error:
        faults.append(Fault(str(error)))
    except Exception as error:
        faults.append(
            Fault(f"cannot be looked at ({type(error).__name__}): restore what lies there")
        )
    return Answer(question.title, tuple(faults))


def rows_of(database: Path, query: str) -> list[tuple[object, ...]]:
    """What a file of SQLite answers, without writing to it. Raises sqlite3.Error where it is
    damaged, or locked for seconds.
    """
    address = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=2)) as connection:
        return connection.execute(query).fetchall()
