"""Metrics go where params.yaml says, and nowhere else; a collector that is away stops nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from ports import free_port

from pipeline import files
from pipeline.catalog import Home, Workspace, project_root
from pipeline.cli import stage
from pipeline.night_params import LogsParams, MetricsParams, WatchParams
from pipeline.refusal import Refusal
from pipeline.services import airflow_server, metrics


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Collector)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def address(collector: HTTPServer) -> str:
    return f"http://127.0.0.1:{collector.server_address[1]}"


def points(collector: HTTPServer) -> dict[str, dict[str, str]]:
    """Metric to its attributes, of the one request that arrived; and its resource's."""
    [(path, body)] = collector.bodies
    assert path == "/v1/metrics"
    [resource] = ExportMetricsServiceRequest.FromString(body).resource_metrics
    found = {"resource": {one.key: one.value.string_value for one in resource.resource.attributes}}
    for metric in resource.scope_metrics[0].metrics:
        [point] = metric.histogram.data_points or metric.sum.data_points
        found[metric.name] = {one.key: one.value.string_value for one in point.attributes}
    return found


def test_the_end_of_a_stage_is_sent_without_any_name(collector):
    settings = MetricsParams(otlp=f"{address(collector)}/")
    metrics.send_stage(settings, stage="train", outcome="finished", seconds=38.2)
    told = {"stage": "train", "outcome": "finished"}
    assert points(collector) == {
        "resource": {"service.name": "syndasera"},
        metrics.STAGE_SECONDS: told,
        metrics.STAGE_ENDS: told,
    }


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "finished"), (Refusal("no"), "refused"), (ValueError("ZQXVALUE"), "failed")],
)
def test_a_stage_sends_how_it_ended(home: Home, collector, tmp_path, monkeypatch, error, outcome):
    text = (project_root() / "params.yaml").read_text()
    files.write_text(
        home.root / "params.yaml", text.replace("otlp: null", f"otlp: {address(collector)}")
    )

    def run(*_: object) -> None:
        if error:
            raise error

    monkeypatch.setattr(stage, "_run", run)
    stage._attempt(stage.STAGES["ingest"], Workspace(tmp_path))
    assert points(collector)[metrics.STAGE_ENDS] == {"stage": "ingest", "outcome": outcome}
    assert b"ZQX" not in collector.bodies[0][1]


@pytest.mark.parametrize("path", ["", "/elsewhere"])
def test_a_collector_that_is_away_stops_nobody(caplog, path):
    settings = MetricsParams(otlp=f"http://127.0.0.1:{free_port()}{path}")
    metrics.send_stage(settings, stage="train", outcome="failed", seconds=1.0)
    assert "metrics: the collector took none of train" in caplog.text


def test_nothing_is_sent_where_nobody_named_a_collector(home: Home):
    variables = airflow_server.airflow_environment(home)
    assert variables["AIRFLOW__METRICS__OTEL_ON"] == "False"
    assert not [name for name in variables if name.startswith("OTEL_EXPORTER")]


def test_a_mistake_in_the_settings_costs_no_stage(home: Home, caplog):
    files.write_text(home.root / "params.yaml", "metrics: {otlpp: x}\n")
    stage._measure("sample", 1.0, 0)
    assert "sample: nothing was measured: " in caplog.text


def test_airflow_sends_its_own(home: Home, monkeypatch):
    text = (project_root() / "params.yaml").read_text()
    files.write_text(home.root / "params.yaml", text.replace("otlp: null", "otlp: http://c:4318"))
    variables = airflow_server.airflow_environment(home)
    assert variables["AIRFLOW__METRICS__OTEL_ON"] == "True"
    assert variables["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] == "http://c:4318/v1/metrics"


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (MetricsParams, {"otlp": "host:4318"}),
        (WatchParams, {"stuck_hours": 0}),
        (WatchParams, {"backup_days": -1}),
        (WatchParams, {"repeat_hours": 0}),
        (LogsParams, {"most_mb": 0}),
        (LogsParams, {"copies": 0}),
        (LogsParams, {"copies": 1.5}),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, setting):
    name = kind.__name__.removesuffix("Params").lower()
    with pytest.raises(Refusal, match=f"{name}.{next(iter(setting))}"):
        kind(**setting)
