"""Handing files over in Debian's chromium: a cut connection goes on by itself, a closed page goes
on when the same file is chosen again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from serving import serving
from upload_cases import holds

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from pipeline.runs import sources
from pipeline.runs.uploads import reception, records
from portal.custodian.uploads import pages

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
HEADER = "age,sex,cp,trtbps,chol,fbs,restecg,thalachh,exng,oldpeak,slp,caa,thall,output\n"
ROW = "63,M,3,145,233,1,0,150,0,2.3,0,0,1,1\n"
PIECE = 1 << 17  # bytes that the page sends at a time, here


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return Home.find()


@pytest.fixture
def address(portal) -> Iterator[str]:
    """The custodian process, served on a free port."""
    with serving(portal.custodian, alone=True) as address:
        yield address


def test_a_file_arrives_though_the_connection_is_cut_and_the_page_closed(
    portal, address, home, tmp_path, monkeypatch
):
    portal.account("custodian")
    monkeypatch.setattr(pages, "SEND_BYTES", PIECE)
    path = tmp_path / "heart_kaggle_303.csv"
    path.write_text(HEADER + ROW * (3 * PIECE // len(ROW)) + "1,2\n")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 390, "height": 800})
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address + "/uploads/new")
        page.locator("[name=email]").fill("custodian@example.org")
        page.locator("[name=password]").fill("a long enough password")
        page.locator("main button").click()
        n_sent = 0

        def cut_the_second_and_all_after_the_third(route) -> None:
            nonlocal n_sent
            n_sent += 1
            route.abort() if n_sent == 2 or n_sent > 3 else route.continue_()

        page.route(
            "**/uploads/files/**",
            lambda route: (
                cut_the_second_and_all_after_the_third(route)
                if route.request.method == "PATCH"
                else route.continue_()
            ),
        )
        page.get_by_label("Dataset").select_option("uci_heart")
        assert "heart_kaggle_303" in page.locator("[data-tables]").text_content()
        page.get_by_label("Files").set_input_files(path)
        with page.expect_event("requestfailed", lambda request: n_sent > 3):
            page.get_by_role("button", name="Begin").click()
        [upload] = records.every(home)
        assert page.url.endswith(f"/uploads/{upload.id}")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.close()
        assert reception.offset(home, upload, 0) == 2 * PIECE

        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{address}/uploads/{upload.id}")
        page.get_by_label("Choose the files again").set_input_files(path)
        page.get_by_role("heading", name="Lift the quarantine").wait_for()
        page.get_by_text("By line").click()
        assert page.get_by_role("cell", name="row does not parse").count() == 2
        page.get_by_label("Public label").fill("Heart 2020")
        page.get_by_role("button", name="Lift the quarantine").click()
        page.get_by_role("button", name="Declare as the source of uci_heart").click()
        page.get_by_text("declared as source").wait_for()
        browser.close()
    assert not faults
    assert sources.load(home)["uci_heart"].path == upload.address
    assert holds(home.root, ROW * 2) == []
