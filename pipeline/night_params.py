"""Settings of the nights: what is watched, where metrics go, how long logs are kept. The blocks
`watch`, `metrics` and `logs` of params.yaml, which may be left out. They are of no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.portal_params import block_of
from pipeline.refusal import Refusal


@dataclass(frozen=True, kw_only=True)
class WatchParams:
    """`stuck_hours`: how long a task may run; `backup_days`: how old the last backup may be;
    `repeat_hours`: after how long custodians are told the same again.
    """

    schedule: str = "20 * * * *"
    stuck_hours: float = 24
    backup_days: float = 2
    repeat_hours: float = 24

    def __post_init__(self) -> None:
        for name in ("stuck_hours", "backup_days", "repeat_hours"):
            if not getattr(self, name) > 0:
                raise Refusal(f"watch.{name} must be positive, is {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class MetricsParams:
    """`otlp`: address of a collector (OpenTelemetry, HTTP), which must be restricted: how long a
    stage took depends on rows (privacy_rules.md 1). None: nothing is sent.
    """

    otlp: str | None = None

    def __post_init__(self) -> None:
        if self.otlp is not None and not str(self.otlp).startswith(("https://", "http://")):
            raise Refusal("metrics.otlp must begin with https:// or http://")


@dataclass(frozen=True, kw_only=True)
class LogsParams:
    """`most_mb`: of a service's log, which is turned over then; `copies`: older ones kept beside
    it.
    """

    most_mb: float = 20
    copies: int = 4

    def __post_init__(self) -> None:
        if not self.most_mb > 0:
            raise Refusal(f"logs.most_mb must be positive, is {self.most_mb}")
        if type(self.copies) is not int or self.copies < 1:
            raise Refusal(f"logs.copies must be a whole number from 1, is {self.copies!r}")


def load_watch(path: Path) -> WatchParams:
    """The block of a params.yaml. Raises Refusal for an unknown key or a value out of range."""
    return WatchParams(**block_of(path, "watch", WatchParams))


def load_metrics(path: Path) -> MetricsParams:
    """As `load_watch`."""
    return MetricsParams(**block_of(path, "metrics", MetricsParams))


def load_logs(path: Path) -> LogsParams:
    """As `load_watch`."""
    return LogsParams(**block_of(path, "logs", LogsParams))
