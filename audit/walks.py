"""Walks through the stages of a run in which somebody edits the workspace between two of them.

The stages are the real ones; training is replaced by somebody who notes whose rows are there. Each
stage finds the workspace as it was, or with one edit: another label in params.yaml and the like.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl

from pipeline import files, params
from pipeline.catalog import Home, Workspace, project_root
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.dp.tape import Tape
from pipeline.environment import at_home
from pipeline.ledger import Ledger
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.params import Params, ReleaseParams
from pipeline.refusal import Refusal
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from pipeline.stages import STAGES

RELEASE, OTHER = "opened-1", "opened-2"
POPULATIONS = ("audit_first", "audit_second")
OPENED = ("universe", "nominal_size", "epsilon", "delta", "ceiling_epsilon", "kind")
DECLARATION = """\
dataset: audit_openings
title: Invented people, in two cohorts
source: made up by audit/openings.py
public: true
population:
  name: audit_first
  universe: nobody
  kind: public
  nominal_size: 200
  epsilon: 9.0
  delta: 1.0e-6
  ceiling_epsilon: 9.0
  cohorts: {column: joined, starts: {early: 2012-01-01, late: 2014-01-01}}
tables:
  people:
    file: people
    key: [id]
    patient: id
    columns:
      id: {kind: id, role: key}
      house: {kind: id, role: key}
      joined: {kind: date, lower: 2012-01-01, upper: 2015-12-31, source: made up}
"""
WITHOUT_COHORTS = "".join(
    line for line in DECLARATION.splitlines(keepends=True) if "cohorts:" not in line
)


@dataclasses.dataclass(frozen=True)
class State:
    """How a stage finds the workspace. register: which one of the cohorts is there."""

    declaration: str
    release: Mapping[str, Any]
    register: str = "first"


@dataclasses.dataclass(frozen=True)
class Facts:
    """Whose rows: what a charge of them must say, and what it stands for."""

    population: str
    label: str | None
    cohorts: tuple[str, ...]
    source: str | None
    patient: str | None
    register: str


def states_of(sources: Path) -> dict[str, tuple[State, State]]:
    """The workspace before and after each edit."""
    first = {"id": RELEASE, "source": str(sources / "first"), "source_label": "first"}
    plain, early = (
        State(WITHOUT_COHORTS, first),
        State(DECLARATION, {**first, "cohorts": ["early"]}),
    )
    house = WITHOUT_COHORTS.replace("[id]", "[house]").replace("patient: id", "patient: house")

    def changed(**release: Any) -> State:
        return State(plain.declaration, {**first, **release})

    return {
        "the population": (plain, State(WITHOUT_COHORTS.replace(*POPULATIONS), first)),
        "the label": (plain, changed(source_label="second")),
        "the source": (plain, changed(source=str(sources / "second"))),
        "who a patient is": (plain, State(house, first)),
        "one cohort for another": (early, State(DECLARATION, {**first, "cohorts": ["late"]})),
        "a cohort for everybody": (early, State(DECLARATION, first)),
        "the register of cohorts": (early, dataclasses.replace(early, register="second")),
        "the release": (plain, changed(id=OTHER)),
        "whose draw it is": (plain, changed(drawn_from=OTHER)),
    }


class Walk:
    """A workspace and a home of its own, and what stages opened, charged and said there."""

    def __init__(self, folder: Path, states: tuple[State, State]) -> None:
        self.home, self._states, self._register = Home(folder / "home"), states, "first"
        self.place = Workspace(self.home.runs / RELEASE)
        self.place.root.mkdir(parents=True)
        self.home.state.mkdir()
        self.faults: list[str] = []
        self.n_opened = self.n_said = 0
        self._read: Facts | None = None
        self._charged: dict[str, Facts] = {}  # by release, when it was charged
        self.dies = False  # training, before it has a model

    def run(self, stages: Sequence[str], edits: Sequence[bool]) -> list[str]:
        """Runs each stage, edited or not; what was wrong. A refusal ends the stage alone."""
        with at_home(self.home.root), self._watched():
            self._open_populations()
            for name, is_edited in zip(stages, edits, strict=True):
                self._find(self._states[is_edited])
                with suppress(Refusal, _Stopped):
                    getattr(self, name, partial(self._run, name))()
        return self.faults

    def ingest(self) -> None:
        self._run("ingest")
        self._read = self._facts()
        self.place.restricted.validation.root.mkdir(exist_ok=True)

    def reserve(self) -> None:
        release_id, ledger = str(self._params.release.id), Ledger(self.home.ledger)
        was_charged = ledger.reservation(release_id) is not None
        try:
            self._run("reserve")
        finally:
            if ledger.reservation(release_id) is not None and not was_charged:
                self._charged[release_id] = self._facts()
                if self._read != self._facts():
                    self.faults.append("a charge that is not of the rows that ingest read")

    def train(self) -> None:
        self._run("train")

    def dying_train(self) -> None:
        self.dies = True
        try:
            self.train()
        finally:
            self.dies = False

    def publish(self) -> None:
        files.write_json(self.place.restricted.approval, {"approved": True})
        self._run("publish")

    def _run(self, name: str) -> None:
        module = import_module(STAGES[name].module)
        module.run(self.place, self._params, self._schema)

    def _find(self, state: State) -> None:
        files.write_text(self.place.dataset, state.declaration)
        self._schema = _schema(state.declaration, self.place.dataset)
        release = ReleaseParams(dataset="audit_openings", rows=10, **state.release)
        self._params = dataclasses.replace(_settings(), release=release)
        if state.register != self._register:
            register = self.home.cohorts(POPULATIONS[0])
            for old, new in (
                (register, register.with_suffix(f".{self._register}")),
                (register.with_suffix(f".{state.register}"), register),
            ):
                if old.is_file():
                    shutil.move(old, new)
            self._register = state.register

    def _facts(self) -> Facts:
        release = self._params.release
        return Facts(
            self._schema.population.name,
            release.source_label,
            release.cohorts,
            release.source,
            self._schema.tables["people"].patient,
            self._register,
        )

    def _open_populations(self) -> None:
        """Both, and in the second a published release, which somebody could call a draw's own."""
        ledger = Ledger(self.home.ledger)
        for name in POPULATIONS:
            declaration = self._states[0].declaration.replace(POPULATIONS[0], name)
            facts = _schema(declaration, self.place.root / "opened.yaml").population
            ledger.open_population(
                name,
                **{field: getattr(facts, field) for field in OPENED},
                cohorts=facts.cohort_names,
                reason="an audit",
                by="audit",
            )
        if self._states[1].release.get("drawn_from") is None:
            return
        event = DiscreteGaussianDpEvent(90.0)
        ledger.reserve(OTHER, POPULATIONS[0], event, by="audit", source_label="first")
        ledger.begin_training(OTHER, "audit", "a token")
        ledger.note_model(OTHER, "audit", "0" * 64)
        ledger.commit(OTHER)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with ExitStack() as patches:
            for name, instead in (
                ("restricted.train._train", self._open_rows),
                ("restricted.reserve.joint_plan", _plan),
                ("released.partitions._model", self._draw),
                ("released.publish._assemble", self._put_together),
            ):
                patches.enter_context(patch(f"pipeline.{name}", instead))
            yield

    def _open_rows(
        self, place: Workspace, settings: Params, schema: Schema, plan: Plan, *_: object
    ) -> None:
        """In the place of training: the rows are open now."""
        n_rows = pl.read_parquet(place.restricted.patients).height
        self.n_opened += 1
        charged = self._charged.get(str(settings.release.id))
        if charged is None or charged != self._read or not n_rows:
            self.faults.append(f"{n_rows} rows opened under a charge that is not theirs")
        if self.dies:
            raise _Stopped
        checkpoints = place.restricted.checkpoints
        files.write_text(checkpoints.model / "model.txt", f"{n_rows}\n")
        Tape([plan.dp_event]).save(checkpoints.tape)

    def _draw(self, *_: object) -> None:
        self._say("an extract")
        raise _Stopped

    def _put_together(self, *_: object) -> None:
        self._say("a card")
        raise _Stopped

    def _say(self, what: str) -> None:
        """What an extract or a card would say, beside the charge that it would cite."""
        release, ledger = self._params.release, Ledger(self.home.ledger)
        cited = str(release.drawn_from or release.id)
        charge, facts = ledger.reservation(cited), self._facts()
        self.n_said += 1
        is_of_charge = (
            charge is not None
            and (charge.population, charge.source_label) == (facts.population, facts.label)
            and (release.drawn_from is not None or charge.cohorts == facts.cohorts)
            and ledger.trained_model(cited) == files.folder_sha256(self.place.released.model)
        )
        if not is_of_charge:
            self.faults.append(f"{what} that cites a charge of others")


class _Stopped(Exception):
    """What a walk needed to see was there."""


@cache
def _settings() -> Params:
    return params.load(project_root() / "params.yaml")


@cache
def _schema(declaration: str, path: Path) -> Schema:
    files.write_text(path, declaration)
    return read_schema(path)


@cache
def _only_plan() -> Plan:
    settings, schema = _settings(), read_schema(project_root() / "datasets" / "uci_heart.yaml")
    return joint_plan(schema, settings.privacy, settings.train, None)


def _plan(*_: Any) -> Plan:
    """One plan for all: it says nothing of whose rows they are."""
    return _only_plan()


def write_sources(folder: Path) -> Path:
    """Two states of a source, with the same people, two to a house."""
    lines = [f"{number},{number // 2},{2012 + number % 4}-05-05\n" for number in range(40)]
    for name in ("first", "second"):
        files.write_text(folder / name / "people.csv", f"id,house,joined\n{''.join(lines)}")
    return folder
