"""The dashboard in Debian's chromium: a filter changes counts, plots and address together, and the
address shows the same view again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from explore_cases import clinic
from serving import serving

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
PAGE = "/releases/clinic-1/explore"
DRAWN = """() => [...document.querySelectorAll(".ex-card:not([hidden]) .ex-plot")].every(
    (plot) => plot.querySelector("svg.main-svg"))"""


@pytest.fixture
def address(portal) -> Iterator[str]:
    """The public process, served on a free port."""
    with serving(portal.public) as address:
        yield address


def test_a_filter_changes_all_and_the_address_keeps_it(portal, address):
    rows = clinic(portal.home)
    women = rows.people[rows.people["sex"] == "F"]
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800}, bypass_csp=True)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address + PAGE)
        page.wait_for_function(DRAWN)
        page.get_by_text("Sex", exact=True).first.click()
        page.get_by_label("F, cohort A").check()
        page.get_by_text(f"{len(women)} of 300 synthetic patients").wait_for()
        page.wait_for_function("() => location.search === '?a.sex=F'")
        sites = (women["site"] == "North").sum()
        assert page.locator("[data-count='a.site.1']").text_content() == str(sites)
        other = browser.new_page(viewport={"width": 1300, "height": 800}, bypass_csp=True)
        other.on("pageerror", lambda error: faults.append(str(error)))
        other.goto(page.url)
        other.wait_for_function(DRAWN)
        assert other.get_by_label("F, cohort A").is_checked()
        other.get_by_role("button", name="Compare with B").click()
        other.get_by_label("M, cohort B").check()
        other.get_by_text(f"{300 - len(women)} of 300 synthetic patients").wait_for()
        other.wait_for_function("() => location.search === '?a.sex=F&b.sex=M&compare=1'")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        with other.expect_download() as download:
            other.locator("[data-save='survival'][data-form='svg']").click()
        assert download.value.path().read_bytes().lstrip().startswith(b"<svg")
        browser.close()
    assert not faults
