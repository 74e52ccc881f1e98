"""One peer, fitted and drawn from once. Runs inside the peer's own environment, as a script:
nothing of ours can be imported here but peer_fits.py, which lies beside it.

    generate.py dpmm-aim --train train.parquet --domain domain.json --epsilon 1 --delta 1e-6
        --rows 1000 --seed 1 --out synthetic.parquet

domain.json names the public domain: per column its kind, categories or bounds, decimals and whether
it may be missing. What a peer draws is rounded to the declared decimals and never clipped. Prints
one JSON line of costs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from peer_fits import MISSING, PEERS, Job


def typed(rows: pd.DataFrame, job: Job, like: pa.Schema) -> pa.Table:
    """The drawn rows with the columns, order and types of the training rows."""
    out = {}
    for name, column in job.columns.items():
        if column["kind"] == "continuous":
            out[name] = pd.to_numeric(rows[name]).astype(float).round(column["decimals"]).to_numpy()
        else:
            values = rows[name].astype(object)
            out[name] = values.where(values.notna() & (values != MISSING), None).to_numpy()
    return pa.table(
        {
            name: pa.array(out[name], from_pandas=True).cast(like.field(name).type)
            for name in like.names
        }
    )


def cpu_seconds() -> float:
    """User and system time of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_mb() -> float:
    """Largest resident set of this process or of one child, in MB; Linux counts in kB."""
    return (
        max(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        / 1024
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--domain", type=Path, required=True)
    parser.add_argument(
        "--epsilon",
        type=float,
        required=True,
        help="the whole budget; ignored by peers without privacy",
    )
    parser.add_argument("--delta", type=float, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    peer, table = PEERS[options.peer], pq.read_table(options.train)
    job = Job(
        json.loads(options.domain.read_text(encoding="utf-8")),
        options.epsilon,
        options.delta,
        options.seed,
    )
    importlib.import_module(peer.module)
    start = cpu_seconds()
    draw = peer.fit(table.to_pandas(), job)
    fit_end = cpu_seconds()
    rows = draw(options.rows)
    draw_end = cpu_seconds()
    pq.write_table(typed(rows, job, table.schema), options.out)
    sys.stdout.write(
        "\n"
        + json.dumps(
            {
                "fit_cpu_seconds": round(fit_end - start, 2),
                "draw_cpu_seconds": round(draw_end - fit_end, 2),
                "peak_mb": round(peak_mb(), 1),
                "version": version(peer.distribution),
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
