"""What each part of the table model contributes: the same splits with one part left out or put in.

python -m bench.table_ablation --source adult=PATH --source credit_default=PATH
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench import report, table_data, tables

RESULTS = table_data.ROOT / "bench" / "results" / "table_ablation.json"
SPLITS = table_data.FRESH[:1]
EPSILON = 1.0
PARTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no round numbers": {"heaps": False},
    "no edges": {"edges": False},
    "no target drawn from all columns": {"target_share": 0.0},
    "no classes per pair of columns": {"pivot_share": 0.0},
    "no second look at strong pairs": {"again_share": 0.0},
    "no private choice, every pair looked at": {"looks": 1.0},
    "half of the pairs looked at": {"looks": 0.5},
    "no coarse counts": {"coarse_share": 0.0},
    "noise not shrunk out of pairs": {"shrink": False},
    "10 bins": {"max_bins": 10},
    "40 bins": {"max_bins": 40},
    "network in place of the latent table": {"network": True},
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
    rows_so_far = report.read(RESULTS)
    for table in table_data.tables_of(options.source):
        for part, settings in PARTS.items():
            for split in SPLITS:
                key = {"dataset": table.name, "part": part, "split": split}
                if any(key.items() <= row.items() for row in rows_so_far):
                    continue
                train, holdout = table.split(split)
                model, seconds = tables.timed_fit(table.schema, train, EPSILON, **settings)
                figures = tables.score(
                    table, train, holdout, model.sample(len(train), np.random.default_rng(split))
                )
                rows_so_far.append(
                    key
                    | {
                        name: round(value, 5)
                        for name, value in (figures | {"fit_cpu_seconds": seconds}).items()
                    }
                )
                report.keep_at(Path(RESULTS), rows_so_far)
                sys.stderr.write(f"{rows_so_far[-1]}\n")


if __name__ == "__main__":
    main()
