"""The dashboard on very many synthetic patients, in a real browser: how long a page takes until all
is drawn, and how long from a changed filter to the last plot.

    python -m bench.portal_explore --home HOME --release RELEASE [--patients 2000000]

RELEASE is a release of pathways in HOME (README, "Without Airflow"). Its patients are drawn again
and again, with their events, into the explore table of a home of the bench's own; the portal's
public process serves it, and Debian's chromium opens it. Needs `chromium` and the package
playwright. Written into bench/results/portal_explore.json and docs/portal.md.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from playwright.sync_api import Page, sync_playwright

from bench import report
from bench.portal_process import serve
from pipeline.catalog import Home
from pipeline.schema.patient_log import ID, PatientLog, concat
from portal.public.explore import build, chunks, release

RESULTS = Path(__file__).resolve().parent / "results" / "portal_explore.json"
CHUNK = 100_000  # patients written at a time
PAGES = 7
COLUMNS = {
    "patients": "patients",
    "answered": "page answered",
    "painted": "painted",
    "drawn": "all plots drawn",
    "one cohort": "a filter changed, one cohort",
    "two cohorts": "two cohorts",
    "longest": "longest change",
    "seconds": "explore table written, seconds",
}
CHANGES = 24  # of a checkbox, on and off
CHANGE = """([name, value]) => new Promise((done) => {
  const input = [...document.querySelectorAll(".ex-values input")].find(
    (one) => one.name === name && one.value === value);
  const seen = new PerformanceObserver(() => {
    seen.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
  });
  seen.observe({ entryTypes: ["measure"] });
  const began = performance.now();
  input.checked = !input.checked;
  input.dispatchEvent(new Event("change", { bubbles: true }));
})"""


def copies(log: PatientLog, patients: int) -> Iterator[PatientLog]:
    """So many patients, each a copy of one of the log under a number of its own."""
    dice = np.random.default_rng(0)
    for first in range(0, patients, CHUNK):
        some = min(CHUNK, patients - first)
        rows = log.patients[dice.integers(0, log.patients.height, some).tolist()]
        numbers = pl.DataFrame({"old": rows[ID], "new": np.arange(first, first + some)})
        events = (
            numbers.join(log.pathways, left_on="old", right_on=ID)
            .drop("old")
            .rename({"new": ID})
            .sort(ID, "seq")
        )
        yield PatientLog(rows.with_columns(numbers["new"].alias(ID)), events)


def make_home(home: Home, release_id: str, patients: int, folder: Path) -> tuple[Home, float]:
    """A home with the release's files and an explore table of many patients; seconds it took."""
    ours = Home(folder)
    shutil.copytree(home.release(release_id).root, ours.release(release_id).root)
    published = release.find(ours, release_id)
    small = concat(chunks.logs(published.schema, published.release.extract.parquet))
    began = time.monotonic()
    build.write(published.schema, copies(small, patients), published.cache)
    return ours, time.monotonic() - began


def first_pages(browser: Any, address: str) -> list[dict[str, float]]:
    """Milliseconds of a page in a browser that has seen nothing before."""
    times = []
    for _ in range(PAGES):
        context = browser.new_context(viewport={"width": 1360, "height": 900}, bypass_csp=True)
        page = context.new_page()
        page.goto(address)
        page.wait_for_function("() => performance.getEntriesByName('explore-drawn').length > 0")
        times.append(
            page.evaluate(
                """() => ({
                  answered: performance.getEntriesByType("navigation")[0].responseEnd,
                  painted: performance.getEntriesByName("first-contentful-paint")[0].startTime,
                  drawn: performance.getEntriesByName("explore-drawn")[0].startTime})"""
            )
        )
        context.close()
    return times


def changes(page: Page, sides: tuple[str, ...]) -> list[float]:
    """Milliseconds from each change to the frame after the last plot is drawn."""
    names = page.evaluate(
        """() => [...document.querySelectorAll(".ex-values input")].map((i) => [i.name, i.value])"""
    )
    dice = np.random.default_rng(1)
    ours = [name for name in names if name[0][0] in sides]
    picks = [ours[int(place)] for place in dice.permutation(len(ours))[: CHANGES // 2]]
    return [page.evaluate(CHANGE, pick) for pick in picks for _ in ("on", "off")]


def measure(address: str) -> dict[str, Any]:
    """Opens the dashboard and changes filters: one cohort, then two."""
    with sync_playwright() as tools:
        chromium = shutil.which("chromium")
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        first = first_pages(browser, address)
        redraws = {}
        for name, query, sides in (("one cohort", "", ("a",)), ("two cohorts", "?compare=1", "ab")):
            page = browser.new_page(viewport={"width": 1360, "height": 900}, bypass_csp=True)
            page.goto(address + query)
            page.wait_for_function("() => performance.getEntriesByName('explore-drawn').length > 0")
            redraws[name] = changes(page, tuple(sides))
        browser.close()
    return {
        **{key: _median([one[key] for one in first]) for key in first[0]},
        **{name: _median(times) for name, times in redraws.items()},
        "longest": round(max(longest for times in redraws.values() for longest in times)),
    }


def lines(row: dict[str, Any]) -> str:
    """The table of docs/portal.md."""
    cells = [f"{row[key]:,}" for key in COLUMNS]
    head = "| " + " | ".join(COLUMNS.values()) + " |"
    return f"{head}\n|{'---|' * len(COLUMNS)}\n| " + " | ".join(cells) + " |"


def _median(values: list[float]) -> int:
    return round(statistics.median(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="home that holds the release")
    parser.add_argument("--release", required=True, help="id of a release of pathways")
    parser.add_argument("--patients", type=int, default=2_000_000, help="synthetic patients")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, seconds = make_home(
            Home(options.home), options.release, options.patients, Path(folder)
        )
        with serve(home) as address:
            figures = measure(f"{address}/releases/{options.release}/explore")
    row = {"patients": options.patients, "seconds": round(seconds), **figures}
    report.keep_at(RESULTS, [row])
    report.between("portal explore", "portal_explore.py", lines(row), report.DOCS / "portal.md")


if __name__ == "__main__":
    main()
