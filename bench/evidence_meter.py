"""Whether figures that the evidence meter calls reliable are within a tenth of the truth: simulated
patients, a whole model at epsilon 1, an extract of as many patients.

    python -m bench.evidence_meter --patients 5000 --seeds 1 2 3

Prints for each word of the meter how many cells have it, and how many of them are within a tenth of
the source's own share, for which nobody is asked in a release.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench import pathway_data
from pipeline import params
from pipeline.estimates.extract import counts_of
from pipeline.estimates.meter import readings
from pipeline.estimates.values import CLOSE
from pipeline.restricted.train import fit_public


def tally(patients: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """(cells by word, those within a tenth of the source)."""
    schema = pathway_data.read_declaration()
    source = pathway_data.simulate_log(schema, patients, seed)
    settings = params.load(pathway_data.ROOT / "params.yaml").train
    with tempfile.TemporaryDirectory() as folder:
        model = fit_public(
            schema,
            source.patients,
            source.events,
            1.0,
            1e-6,
            settings,
            Path(folder) / "model",
            pathway_data.EXTRACT,
        )
    extract = next(model.sample(patients, seed, patients))
    own, truth = (counts_of(log, model.noisy_counts, model.pathway) for log in (extract, source))
    cells: Counter[str] = Counter()
    near: Counter[str] = Counter()
    # the truth takes the place of the extract to find the share of the same cell
    real = {(r.table, r.cell): r.extract for r in readings(schema, model.noisy_counts, truth)}
    for reading in readings(schema, model.noisy_counts, own):
        share = real.get((reading.table, reading.cell), 0.0)
        cells[reading.evidence] += 1
        near[reading.evidence] += abs(reading.extract - share) <= CLOSE * share
    return cells, near


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    for seed in options.seeds:
        cells, near = tally(options.patients, seed)
        for word, n in sorted(cells.items()):
            sys.stdout.write(
                f"{options.patients:,} patients, seed {seed}: {n:,} {word}, {near[word] / n:.1%}"
                " within a tenth\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
