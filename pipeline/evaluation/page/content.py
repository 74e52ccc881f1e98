"""What the custodian's report is made of: values that others compute, and patients for plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.evaluation.findings import Estimate, Finding, Risk
from pipeline.evaluation.gate_words import GateWarning
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema


class FidelityFigure(Protocol):
    """A figure between two bounds: `worst` of columns that are drawn independently of each other,
    `best` of other real patients.
    """

    @property
    def name(self) -> str: ...
    @property
    def synthetic(self) -> float: ...
    @property
    def best(self) -> float: ...
    @property
    def worst(self) -> float: ...
    @property
    def is_higher_better(self) -> bool: ...
    @property
    def note(self) -> str: ...


class UtilityFigure(Protocol):
    """How well a model predicts real patients, learned on real ones and on synthetic ones."""

    @property
    def target(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def on_real(self) -> Estimate: ...
    @property
    def on_synthetic(self) -> Estimate: ...


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything on the page. What is empty is left out, or said to be lacking where it matters."""

    title: str
    release: str
    schema: Schema
    real: PatientLog  # the sample that plots show
    synthetic: PatientLog
    real_name: str = "real"  # who the real patients are: "real (holdout)"
    account: str = ""  # HTML: what ingest kept and dropped
    warnings: Sequence[GateWarning] = ()
    fidelity: Sequence[FidelityFigure] = ()
    analyses: Mapping[str, str] = field(default_factory=dict)  # number -> name: "A7" -> "Survival"
    findings: Sequence[Finding] = ()
    risks: Sequence[Risk] = ()
    utilities: Sequence[UtilityFigure] = ()
    faults: Sequence[str] = ()  # parts that could not be made, and why
    # static columns that the model drew independently of each other
    independent_pairs: Sequence[tuple[str, str]] = ()
    same_code: str = ""  # HTML: which public scripts run on both
    further: Mapping[str, str] = field(default_factory=dict)  # heading -> HTML
    links: Mapping[str, str] = field(default_factory=dict)  # words -> a file beside the page
