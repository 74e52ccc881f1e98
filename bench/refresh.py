"""Seconds and peak memory of every stage over the number of patients, on simulated data: a table
and a plot in docs/.

    python -m bench.refresh --patients 5000 20000 100000

Each stage runs as its own process, as it does in Airflow, in a home of its own; then `make run`
does the same at the first size in a running Airflow. Peak memory is the largest sum over the
process and its children, twice a second, of what each holds alone and its part of what it shares
(proportional set size).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import psutil
from matplotlib.figure import Figure

from bench import report
from pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
WHOLE = "make run"
RESULTS = ROOT / "bench" / "results" / "refresh.json"
PLOT = ROOT / "docs" / "benchmarks" / "refresh.svg"


@dataclass(frozen=True)
class Cost:
    patients: int
    stage: str
    seconds: float
    peak_mb: float


def measure(command: list[str], cwd: Path, environment: dict[str, str]) -> tuple[float, float]:
    """(seconds, peak MB) of one command and its children. Raises RuntimeError where it fails."""
    started, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as output:
        process = psutil.Popen(
            command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            peak = max(peak, _pss(process))
            time.sleep(0.5)
        if process.returncode != 0:
            output.seek(0)
            raise RuntimeError(
                f"{' '.join(command[2:])} failed: {output.read()[-2000:].decode(errors='replace')}"
            )
    return time.perf_counter() - started, peak / 2**20


def _pss(process: psutil.Popen) -> int:
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone in the meantime
            continue
    return total


def declare(home: Path, patients: int) -> str:
    """Declarations of the home's own: simulated pathways with this nominal size, from which steps
    and sampling probability follow. Its name.
    """
    shutil.copytree(ROOT / "datasets", home / "datasets")
    name = f"simulated_{patients}"
    text = (
        f"extends: simulated_pathways\ndataset: {name}\npopulation: {{name: {name}, nominal_size:"
        f" {patients}, delta: {min(1e-6, 0.1 / patients):.1e}}}\n"
    )
    (home / "datasets" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return name


def pipeline_command(name: str, options: Mapping[str, object] | None = None) -> list[str]:
    """`python -m pipeline NAME --OPTION VALUE ...`"""
    texts = [(f"--{option}", str(value)) for option, value in (options or {}).items()]
    return [sys.executable, "-m", "pipeline", name, *chain.from_iterable(texts)]


def bench(patients: int, scratch: Path) -> list[Cost]:
    """One simulated extract of this size through all stages."""
    home, source = scratch / f"home-{patients}", scratch / f"source-{patients}"
    dataset, release = declare(home, patients), f"bench-{patients}"
    environment = os.environ | {"SYNDASERA_HOME": str(home), "PYTHONPATH": str(ROOT)}
    simulate = pipeline_command("simulate", {"patients": patients, "seed": 1, "out": source})
    prepare = pipeline_command(
        "prepare",
        {
            "dataset": dataset,
            "release-id": release,
            "source": source,
            "label": f"bench {patients}",
            "extract-date": "2022-12-31",
            "rows": patients,
        },
    )
    rows = [Cost(patients, "simulate", *measure(simulate, ROOT, environment))]
    measure(prepare, ROOT, environment)
    for stage in STAGES:
        cost = measure(pipeline_command(stage), home / "runs" / release, environment)
        rows.append(Cost(patients, stage, *cost))
        sys.stderr.write(
            f"{patients:>7} {stage:<9} {rows[-1].seconds:7.1f} s {rows[-1].peak_mb:7.0f} MB\n"
        )
    return rows


def whole(patients: int, scratch: Path) -> Cost:
    """`make run` from an empty home, environment in place: Airflow, all stages, MLflow's and DVC's
    entries.
    """
    environment = os.environ | {"SYNDASERA_HOME": str(scratch / "home-whole")}
    return Cost(
        patients, WHOLE, *measure(["make", "run", f"PATIENTS={patients}"], ROOT, environment)
    )


def table(rows: list[Cost]) -> str:
    """Markdown: a line per stage, two columns per size."""
    staged = [row for row in rows if row.stage != WHOLE]
    sizes = sorted({row.patients for row in staged})
    cost = {(row.stage, row.patients): row for row in rows}
    lines = [
        "| stage | " + " | ".join(f"{n:,} patients: s | peak MB" for n in sizes) + " |",
        "|---|" + "---|---|" * len(sizes),
    ]
    for stage in ("simulate", *STAGES):
        cells = [f"{cost[stage, n].seconds:.1f} | {cost[stage, n].peak_mb:.0f}" for n in sizes]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    of_size = [[row for row in staged if row.patients == n] for n in sizes]
    totals = [
        f"{sum(row.seconds for row in group):.1f} | {max(row.peak_mb for row in group):.0f}"
        for group in of_size
    ]
    lines.append("| **all (peak: the largest)** | " + " | ".join(totals) + " |")
    sentence = (
        "`make run` with {:,} patients, Airflow and all stages, from an empty home: {:.0f} s, at"
        " most {:,.0f} MB."
    )
    lines += [
        "",
        *(
            sentence.format(row.patients, row.seconds, row.peak_mb)
            for row in rows
            if row.stage == WHOLE
        ),
    ]
    return "\n".join(lines)


def plot(rows: list[Cost], out: Path) -> None:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    sizes = sorted({row.patients for row in rows})
    for axes, field, label in zip(
        figure.subplots(1, 2), ("seconds", "peak_mb"), ("seconds", "peak memory, MB"), strict=True
    ):
        for stage in ("simulate", *STAGES):
            of_stage = sorted(
                (row.patients, getattr(row, field)) for row in rows if row.stage == stage
            )
            axes.plot(*zip(*of_stage, strict=True), marker="o", label=stage)
        axes.set(xscale="log", yscale="log", xlabel="patients", ylabel=label)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_yticks(
            [
                n
                for n in (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
                if axes.get_ylim()[0] <= n <= axes.get_ylim()[1]
            ]
        )
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", bbox_to_anchor=(1.02, 1), loc="upper left")
    report.save(figure, out)


def write(rows: list[Cost]) -> None:
    report.keep_at(RESULTS, [asdict(row) for row in rows])
    plot(rows, PLOT)
    report.between("refresh", "refresh.py", table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--patients",
        type=int,
        nargs="+",
        default=[5000, 20000, 100000],
        help="sizes of the simulated extract",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        rows = [row for n in options.patients for row in bench(n, Path(scratch))]
        rows.append(whole(options.patients[0], Path(scratch)))
    write(rows)
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()
