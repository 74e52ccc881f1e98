"""Pages in chromium, wide and narrow: nothing that axe finds serious, nothing that runs out of the
window, no error of a script.
"""

from __future__ import annotations

import shutil

import pytest
import release_cases
from people_cases import PASSWORD
from serving import serving

CHROMIUM = shutil.which("chromium")
WIDTHS = (1280, 390)
PAGES = {
    "nobody": ("/", "/releases", "/releases/first-1", "/uses", "/sign-in"),
    "researcher": ("/uses?release=first-1", "/account"),
    "auditor": (
        "/audit",
        "/audit/ledger",
        "/audit/budgets",
        "/audit/releases",
        "/audit/releases/first-1",
        "/audit/actions",
    ),
    "administrator": ("/people",),
}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def sign_in(page, address, email):
    page.goto(f"{address}/sign-in")
    page.fill("[name=email]", email)
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda url: not url.endswith("/sign-in"))


def faults(page):
    """What axe finds serious, and how far the page runs out of the window."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    told = [one["id"] for one in violations if one["impact"] in ("serious", "critical")]
    root = "document.documentElement"
    over = page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
    return [*told, *([f"{over} px too wide"] if over > 0 else [])]


@pytest.mark.long
@pytest.mark.parametrize("role", PAGES)
def test_pages_are_made_for_everybody(portal, browser, role):
    release_cases.publish(portal.home, "first-1")
    email = None if role == "nobody" else portal.account(role)
    app = portal.public if role in ("nobody", "researcher") else portal.custodian
    with serving(app) as address:
        for width in WIDTHS:
            with browser.new_context(viewport={"width": width, "height": 900}) as context:
                page, errors = context.new_page(), []
                page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
                page.on(
                    "console",
                    lambda line, errors=errors: line.type == "error" and errors.append(line.text),
                )
                if email:
                    sign_in(page, address, email)
                for path in PAGES[role]:
                    page.goto(address + path)
                    page.wait_for_load_state("networkidle")
                    assert not faults(page), (path, width)
                    assert not errors, (path, width)


@pytest.mark.long
def test_budgets_are_drawn_from_the_pages_figures(portal, browser):
    release_cases.publish(portal.home, "first-1")
    email = portal.account("auditor")
    with serving(portal.custodian) as address, browser.new_context() as context:
        page = context.new_page()
        sign_in(page, address, email)
        page.goto(f"{address}/audit/budgets")
        page.wait_for_selector(".plot .trace")
        drawn = page.evaluate("document.querySelector('.plot').data[1].text[0]")
        share = page.locator("td.figure").nth(1).inner_text()
        assert drawn == f"first-1: {share} after it"
