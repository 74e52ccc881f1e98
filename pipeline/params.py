"""params.yaml as frozen values, one block per stage, checked when loaded. Every mistake is named
with its key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.population_limits import LARGEST_DELTA
from pipeline.refusal import Refusal

RELEASE_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,40}")


def check_release_id(text: str, name: str = "release id") -> str:
    """The text, which may name files, tags and branches. Raises Refusal for any other."""
    if not RELEASE_ID.fullmatch(text):
        raise Refusal(
            f"{name} {text!r}: 3 to 41 of a-z, 0-9 and -, beginning with a letter or digit"
        )
    return text


@dataclass(frozen=True, kw_only=True)
class ReleaseParams:
    id: str | None = None
    dataset: str
    source: str | None = None
    source_label: str | None = None
    data_id: str | None = None
    extract_date: date | None = None
    drawn_from: str | None = None
    cohorts: tuple[str, ...] = ()
    rows: int

    def __post_init__(self) -> None:
        # dvc cannot hash a YAML date, so workspaces hold it as text
        if isinstance(self.extract_date, str):
            object.__setattr__(self, "extract_date", date.fromisoformat(self.extract_date))
        if isinstance(self.cohorts, str):
            raise Refusal(f"release.cohorts must be a list of names, is {self.cohorts!r}")
        object.__setattr__(self, "cohorts", tuple(sorted(set(self.cohorts))))
        for name in ("id", "drawn_from"):
            if (value := getattr(self, name)) is not None:
                check_release_id(str(value), f"release.{name}")
        if self.rows < 1:
            raise Refusal(f"release.rows must be at least 1, is {self.rows}")


@dataclass(frozen=True, kw_only=True)
class PrivacyParams:
    """`warn_...` change nothing about a release: below them, people are told that the budget runs
    low.
    """

    epsilon: float
    delta: float
    warn_below_share: float = 0.2
    warn_below_releases: int = 3

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise Refusal(f"privacy.epsilon must be positive, is {self.epsilon}")
        if not 0 < self.delta <= LARGEST_DELTA:
            raise Refusal(
                f"privacy.delta must be in (0, {LARGEST_DELTA:g}], is {self.delta}"
                " (privacy_rules.md 15)"
            )
        if not 0 <= self.warn_below_share < 1:
            raise Refusal(f"privacy.warn_below_share must be in [0, 1), is {self.warn_below_share}")
        if self.warn_below_releases < 0:
            raise Refusal(
                f"privacy.warn_below_releases must be at least 0, is {self.warn_below_releases}"
            )


@dataclass(frozen=True, kw_only=True)
class IngestParams:
    """`min_kept_share`: of the patients and of each table's rows; where fewer are left, public and
    simulated data stop before the charge.
    """

    holdout_share: float
    max_cell_bytes: int
    max_patient_rows: int = 100_000
    min_kept_share: float = 0.99

    def __post_init__(self) -> None:
        if not 0 <= self.holdout_share < 1:
            raise Refusal(f"ingest.holdout_share must be in [0, 1), is {self.holdout_share}")
        if not 0 < self.min_kept_share <= 1:
            raise Refusal(f"ingest.min_kept_share must be in (0, 1], is {self.min_kept_share}")
        if self.max_patient_rows < 1:
            raise Refusal(f"ingest.max_patient_rows must be at least 1, is {self.max_patient_rows}")


@dataclass(frozen=True, kw_only=True)
class ValidateParams:
    rows_in_report: int


@dataclass(frozen=True, kw_only=True)
class TrainParams:
    """`table` and `pathway` are the settings of the two models, checked by their own
    dataclasses.
    """

    shares: Mapping[str, float]
    table: Mapping[str, Any]
    pathway: Mapping[str, Any]
    device: str
    checkpoint_steps: int

    def __post_init__(self) -> None:
        if set(self.shares) != {"table", "pathway"} or min(self.shares.values()) <= 0:
            raise Refusal(
                f"train.shares must name table and pathway, both positive, is {dict(self.shares)}"
            )
        if self.device not in ("auto", "cpu", "cuda"):
            raise Refusal(f"train.device must be auto, cpu or cuda, is {self.device!r}")


@dataclass(frozen=True, kw_only=True)
class SampleParams:
    partition_rows: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class DrawParams:
    """`plan`: of a published draw whose request names none, as `draw_plan.plan_of` reads it. A
    refresh never has one: report and card compare its extract with the population.
    """

    plan: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class GateParams:
    """The thresholds of the gate on synthetic rows, where they differ from docs/clinical_rules.md.

    `stops`: W rules, as 29 or 5b, that stop this release instead of warning. `bounds`: W rule, or
    rule on a share or mean, -> the lowest and highest legal rate, None for no end. `rare_below`: a
    value whose charged noisy count is smaller is rare (clinical rule 57). Which ids there are is
    checked by `pipeline.checks.rules.check_gate`, before a charge.
    """

    stops: tuple[str, ...] = ()
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    rare_below: float = 10.0

    def __post_init__(self) -> None:
        if isinstance(self.stops, str):
            raise Refusal(f"gate.stops must be a list of rules, is {self.stops!r}")
        object.__setattr__(self, "stops", tuple(_rule_id(rule) for rule in self.stops))
        if not isinstance(self.bounds, Mapping):
            raise Refusal(f"gate.bounds must be a mapping of rules, is {self.bounds!r}")
        bounds = {_rule_id(rule): _range(str(rule), ends) for rule, ends in self.bounds.items()}
        object.__setattr__(self, "bounds", bounds)
        if not self.rare_below >= 0:
            raise Refusal(f"gate.rare_below must be at least 0, is {self.rare_below}")


def _rule_id(rule: object) -> str:
    """As the rules name themselves: 5b is 05b."""
    return re.sub(r"^\d(?!\d)", r"0\g<0>", str(rule))


def _range(rule: str, ends: Any) -> tuple[float | None, float | None]:
    """The two ends of a legal rate; null is no end."""
    is_pair = isinstance(ends, (list, tuple)) and len(ends) == 2
    if not is_pair or not all(end is None or type(end) in (int, float) for end in ends):
        raise Refusal(
            f"gate.bounds.{rule} must be [lowest, highest], each a number or null, is {ends!r}"
        )
    low, high = ends
    if low is not None and high is not None and low > high:
        raise Refusal(f"gate.bounds.{rule}: the lowest, {low}, is above the highest, {high}")
    return low, high


@dataclass(frozen=True, kw_only=True)
class EvaluateParams:
    max_rows: int
    max_patients: int = 200_000


@dataclass(frozen=True, kw_only=True)
class ApproveParams:
    """`airflow_users`: who may answer in Airflow itself, beside the portal: Airflow's name of the
    user to the person's e-mail address, by which people are compared.
    """

    self_approve: bool
    airflow_users: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        users = self.airflow_users
        if not isinstance(users, Mapping) or not all(
            isinstance(one, str) for one in users.values()
        ):
            raise Refusal(f"approve.airflow_users must be a mapping USER: E-MAIL, is {users!r}")


@dataclass(frozen=True, kw_only=True)
class PublishParams:
    sample_patients: int


@dataclass(frozen=True, kw_only=True)
class ScheduleParams:
    refresh: str
    budget_report: str = "0 6 * * 1"
    tidy: str = "0 5 * * 0"


@dataclass(frozen=True, kw_only=True)
class Params:
    release: ReleaseParams
    privacy: PrivacyParams
    ingest: IngestParams
    validate: ValidateParams
    train: TrainParams
    sample: SampleParams
    evaluate: EvaluateParams
    approve: ApproveParams
    publish: PublishParams
    gate: GateParams = field(default_factory=GateParams)
    draw: DrawParams = field(default_factory=DrawParams)
    schedule: ScheduleParams = field(default_factory=lambda: ScheduleParams(refresh="0 3 * * 1"))

    @property
    def drawn_plan(self) -> Mapping[str, Any] | None:
        """What the extract of this run is drawn by: a refresh is never drawn by a plan."""
        return self.draw.plan if self.release.drawn_from is not None else None


BLOCKS: Mapping[str, type] = {
    "release": ReleaseParams,
    "privacy": PrivacyParams,
    "ingest": IngestParams,
    "validate": ValidateParams,
    "train": TrainParams,
    "sample": SampleParams,
    "draw": DrawParams,
    "gate": GateParams,
    "evaluate": EvaluateParams,
    "approve": ApproveParams,
    "publish": PublishParams,
    "schedule": ScheduleParams,
}


LATER = ("draw", "gate")  # params written before there were these blocks have none
# of no run: portal_params.py, night_params.py, upkeep/retention.py
OTHERS = ("portal", "sign_in", "watch", "metrics", "logs", "retention")


def from_mapping(value: Mapping[str, Any], name: str = "params.yaml") -> Params:
    """Checks a nested mapping. Raises Refusal naming every unknown or missing key at once, or
    the first value out of range.
    """
    problems = [f"unknown block {block!r}" for block in value if block not in (*BLOCKS, *OTHERS)]
    blocks = {}
    for block, kind in BLOCKS.items():
        settings = value.get(block, {} if block in LATER else None)
        if not isinstance(settings, Mapping):
            problems.append(f"block {block!r} is missing")
            continue
        names = {f.name for f in fields(kind)}
        problems += [f"unknown key {block}.{key}" for key in settings if key not in names]
        blocks[block] = (kind, {key: item for key, item in settings.items() if key in names})
    if problems:
        raise Refusal(f"{name}: " + "; ".join(problems))
    try:
        return Params(**{block: kind(**settings) for block, (kind, settings) in blocks.items()})
    except (TypeError, ValueError) as error:
        raise Refusal(f"{name}: {error}") from None


def load(path: Path) -> Params:
    """The checked params of a workspace or of the project."""
    value = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    if not isinstance(value, Mapping):
        raise Refusal(f"{path.name} must hold one mapping of blocks: {', '.join(BLOCKS)}")
    return from_mapping(value, path.name)
