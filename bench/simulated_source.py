"""A simulated source of any size: parts of 100,000 patients, each simulated for itself, under
numbers of their own, one below the other. The simulator holds all its patients in memory, and 2
million would not fit.

    python -m bench.simulated_source --patients 2000000 --out source
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import polars as pl

from pipeline import files
from pipeline.catalog import TRUTH
from pipeline.simulator import DEFAULT_EXTRACT
from pipeline.simulator.dirt import add_dirt
from pipeline.simulator.latent import draw_lifetimes
from pipeline.simulator.simulate import registry_tables
from pipeline.simulator.view import view

PART = 100_000  # patients
STEP = 20_000_000  # between the numbers of two parts: more than any table numbers in one
NUMBERS = (
    "PATIENTID",
    "ENCORE_PATIENT_ID",
    "LINKNUMBER",
    "LINK_NUMBER",
    "TUMOURID",
    "MERGED_REGIMEN_ID",
    "MERGED_CYCLE_ID",
    "MERGED_DRUG_DETAIL_ID",
    "RADIOTHERAPYEPISODEID",
    "PRESCRIPTIONID",
)

logger = logging.getLogger(__name__)


def shifted(rows: pl.DataFrame, by: int) -> pl.DataFrame:
    """The rows of a part under the part's own numbers; also in the two keys that are texts made of
    numbers, ATTENDID (patient.day) and GENEID (G, tumour, two digits).
    """
    texts = {
        "ATTENDID": pl.concat_str(
            pl.col("ATTENDID").str.extract(r"^(\d+)").cast(pl.Int64) + by,
            pl.col("ATTENDID").str.extract(r"(\..*)$"),
        ),
        "GENEID": pl.format("G{}", pl.col("GENEID").str.slice(1).cast(pl.Int64) + by * 100),
    }
    return rows.with_columns(
        *((pl.col(name) + by).alias(name) for name in NUMBERS if name in rows.columns),
        *(text.alias(name) for name, text in texts.items() if name in rows.columns),
    )


def write(patients: int, out: Path) -> None:
    """`out`/<table>.csv, and truth.json by which the source is known for a simulated one. The
    parts' seeds are 1, 2, and so on.
    """
    out.mkdir(parents=True)
    for number, first in enumerate(range(0, patients, PART)):
        seed = number + 1
        lifetimes = draw_lifetimes(min(PART, patients - first), seed, logger.debug)
        tables = registry_tables(view(lifetimes, DEFAULT_EXTRACT), seed)
        tables = {name: shifted(rows, number * STEP) for name, rows in tables.items()}
        for name, rows in add_dirt(tables, seed)[0].items():
            text = rows.write_csv(include_header=number == 0)
            with (out / f"{name}.csv").open("ab") as file:
                file.write(text.encode("latin-1"))  # as the registry's files are
        logger.info("part %d is written", seed)
    note = "Simulated data in parts: nobody is behind these records."
    files.write_json(out / TRUTH, {"note": note, "n_patients": patients, "part": PART})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, required=True, help="how many to simulate")
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write(options.patients, options.out)


if __name__ == "__main__":
    main()
