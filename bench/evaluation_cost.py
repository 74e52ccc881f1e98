"""What the custodian's report costs: a fresh sample of simulated patients in the place of an
extract, part by part.

    python -m bench.evaluation_cost --patients 200000

Prints seconds of each part, the share that SDMetrics has of them, and the peak of memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from bench import pathway_data
from pipeline.evaluation.analyses import run_analyses
from pipeline.evaluation.attacks import run_attacks
from pipeline.evaluation.fidelity_figures import fidelity_figures
from pipeline.evaluation.page import page
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.utility import utility
from pipeline.schema.patient_log import concat

T = TypeVar("T")
HOLDOUT = 10  # one patient in so many


def clocked(name: str, part: Callable[[], T]) -> T:
    start = time.perf_counter()
    value = part()
    sys.stdout.write(f"{name}: {time.perf_counter() - start:.0f} s\n")
    sys.stdout.flush()
    return value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=200_000, help="of each kind")
    options = parser.parse_args()
    schema = pathway_data.read_declaration()
    n_holdout = options.patients // HOLDOUT
    train, holdout, synthetic = (
        pathway_data.simulate_log(schema, n, seed)
        for n, seed in ((options.patients - n_holdout, 1), (n_holdout, 2), (options.patients, 3))
    )

    def quiet(text: str) -> None:
        pass

    start = time.perf_counter()
    real = concat([train, holdout])
    three = (train, holdout, synthetic)
    fidelity = clocked("fidelity", lambda: fidelity_figures(schema, *three, quiet))
    sys.stdout.write(f"  of it SDMetrics: {fidelity.sdmetrics_seconds:.0f} s\n")
    findings = clocked("analyses", lambda: run_analyses(schema, real, synthetic, quiet))
    utilities = clocked("utility", lambda: utility(schema, *three, quiet))
    risks = clocked("attacks", lambda: run_attacks(schema, *three, quiet))
    content = ReportContent(
        title=schema.title,
        release="cost",
        schema=schema,
        real=real,
        synthetic=synthetic,
        fidelity=fidelity.figures,
        findings=findings,
        utilities=utilities,
        risks=risks,
    )
    clocked("page", lambda: page(content))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    sys.stdout.write(f"all: {time.perf_counter() - start:.0f} s, at most {peak:.1f} GB\n")


if __name__ == "__main__":
    main()
