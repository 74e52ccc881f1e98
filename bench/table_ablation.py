"""What each part of the table model contributes: the same splits with one part left out or put in.

python bench/table_ablation.py --source adult=PATH --source credit_default=PATH
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import report
import table_data
import tables

RESULTS = table_data.ROOT / "bench" / "results" / "table_ablation.json"
SPLITS = table_data.FRESH[:1]
EPSILON = 1.0
PARTS: dict[str, dict[str, object]] = {
    "as it is": {},
    "no round numbers": {"heaps": False},
    "no edges": {"edges": False},
    "no target drawn from all columns": {"target_share": 0.0},
    "no classes per pair of columns": {"pivot_share": 0.0},
    "no second look at strong pairs": {"again_share": 0.0},
    "noise not shrunk out of pairs": {"shrink": False},
    "10 bins": {"max_bins": 10},
    "40 bins": {"max_bins": 40},
    "network in place of the latent table": {"network": True},
    "critic with a fifth of the budget": {"critic_share": 0.2},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="DATASET=PATH",
        help="a public dataset and its folder",
    )
    options = parser.parse_args()
    found = report.read(RESULTS)
    for dataset, source in tables.sources_of(options).items():
        declared, rows = table_data.load(dataset, source)
        for part, settings in PARTS.items():
            for split in SPLITS:
                key = {"dataset": dataset, "part": part, "split": split}
                if any(key.items() <= row.items() for row in found):
                    continue
                train, holdout = table_data.split(rows, split)
                model, seconds = tables.fitted(declared, train, EPSILON, **settings)
                figures = tables.scored(
                    declared, train, holdout, model.sample(len(train), np.random.default_rng(split))
                )
                found.append(
                    key
                    | {
                        name: round(value, 5)
                        for name, value in (figures | {"fit_cpu_seconds": seconds}).items()
                    }
                )
                report.keep_at(Path(RESULTS), found)
                sys.stderr.write(f"{found[-1]}\n")


if __name__ == "__main__":
    main()
