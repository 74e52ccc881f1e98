"""Metrics for a collector that `metrics.otlp` in params.yaml names (OpenTelemetry, OTLP over HTTP):
Airflow's own, and how each stage ended. They are restricted, and so is the collector: how long a
stage takes that reads rows depends on them (privacy_rules.md 1).
"""

from __future__ import annotations

import logging

from pipeline.night_params import MetricsParams

logger = logging.getLogger(__name__)
SECONDS = 3.0  # for one delivery: a collector that is away holds no stage up
STAGE_SECONDS, STAGE_ENDS = "syndasera.stage.seconds", "syndasera.stage.ends"


def for_airflow(settings: MetricsParams) -> dict[str, str]:
    """The variables by which Airflow's processes send their own metrics; none where nothing is
    named.
    """
    if settings.otlp is None:
        return {"AIRFLOW__METRICS__OTEL_ON": "False"}
    return {
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": _endpoint(settings.otlp),
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "airflow",
    }


def send_stage(settings: MetricsParams, *, stage: str, outcome: str, seconds: float) -> None:
    """Sends one end of a stage. `outcome`: finished, refused or failed; no release and no dataset
    is named. What cannot be delivered is a line in the log: no stage stops for it.
    """
    if settings.otlp is None:
        return
    try:
        is_sent = _send(settings.otlp, {"stage": stage, "outcome": outcome}, seconds)
    except Exception as error:  # an address may be wrong in many ways
        logger.warning("metrics: %s of %s not sent", type(error).__name__, stage)
        return
    if not is_sent:
        logger.warning("metrics: the collector took none of %s", stage)


def _send(otlp: str, attributes: dict[str, str], seconds: float) -> bool:
    """Whether the collector took it."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
    from opentelemetry.sdk.resources import Resource

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], Resource({"service.name": "syndasera"}))
    meter = provider.get_meter("syndasera")
    meter.create_histogram(STAGE_SECONDS, "s").record(seconds, attributes)
    meter.create_counter(STAGE_ENDS).add(1, attributes)
    exporter = OTLPMetricExporter(_endpoint(otlp), timeout=SECONDS)
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # ours says it
    data = reader.get_metrics_data()
    provider.shutdown()
    return data is not None and exporter.export(data) is MetricExportResult.SUCCESS


def _endpoint(otlp: str) -> str:
    return f"{otlp.rstrip('/')}/v1/metrics"
