"""The whole story of the portal in a browser, with a real Airflow behind it: a custodian hands
data over, a researcher asks, the custodian approves, the researcher explores and takes home, an
auditor follows it back.

SYNDASERA_PICTURES=FOLDER keeps a picture of every page, wide and as on a phone.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from ruamel.yaml import YAML

from pipeline import environment, files
from pipeline.catalog import Home, project_root
from pipeline.cli.services import setup
from pipeline.cli.waiting import wait_for_airflow, wait_for_portal
from pipeline.ledger import Ledger
from pipeline.released.verify import verify
from pipeline.services import airflow_server, portal_server, processes

pytestmark = [pytest.mark.long, pytest.mark.airflow]

PRISM = Path(__file__).parents[2].parent / "shared" / "data" / "prism_uganda"
CHROMIUM = shutil.which("chromium")
PASSWORD = "three or four words"
PICTURES = os.environ.get("SYNDASERA_PICTURES")
PEOPLE = {
    "custodian": "cara@registry.example",
    "second": "sam@registry.example",
    "auditor": "audrey@registry.example",
    "engineer": "eli@registry.example",
    "researcher": "rosa@university.example",
}
MINUTE = 60_000
SMALL = {
    "table": {"steps": 200},
    "pathway": {"steps": 60, "calibration_patients": 400, "width": 16},
    "checkpoint_steps": 20,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Home]:
    """A home with Airflow and both processes of the portal, and PRISM's files made readable."""
    if not PRISM.is_dir():
        pytest.skip("shared/data/prism_uganda is not here")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(environment.HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))
        for variable in (
            environment.AIRFLOW_PORT_VARIABLE,
            environment.PORTAL_PORT_VARIABLE,
            environment.CUSTODIAN_PORT_VARIABLE,
        ):
            patch.setenv(variable, str(free_port()))
        patch.setenv("OMP_NUM_THREADS", "1")
        home = Home.find()
        settings = YAML(typ="safe").load((project_root() / "params.yaml").read_text())
        settings["train"] |= SMALL
        settings["release"]["rows"] = 1000
        settings["approve"]["self_approve"] = False  # a person lets every release out
        settings["portal"]["poll_seconds"] = 2
        with files.replacing(home.root / "params.yaml") as path, path.open("w") as file:
            YAML().dump(settings, file)
        setup()
        services = (
            *airflow_server.airflow_services(home),
            *portal_server.public_services(home),
            *portal_server.custodian_services(home),
        )
        processes.start(home, services)
        try:
            wait_for_airflow(home)
            wait_for_portal(home)
            yield home
        finally:
            processes.stop(home)


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, browser, address: str) -> None:
        self.context = browser.new_context(
            base_url=address, accept_downloads=True, viewport={"width": 1280, "height": 900}
        )
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def opens(self, path: str, picture: str | None = None) -> str:
        """Goes to a page; the text of its main part."""
        answer = self.page.goto(path)
        assert answer is not None and answer.ok, f"{path}: {answer and answer.status}"
        if picture:
            self.picture(picture)
        return self.text()

    def text(self) -> str:
        return str(self.page.inner_text("main"))

    def picture(self, name: str) -> None:
        if PICTURES is None:
            return
        for width, suffix in ((1280, ""), (390, "-phone")):
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.wait_for_timeout(400)
            self.page.screenshot(path=f"{PICTURES}/{name}{suffix}.png", full_page=True)
        self.page.set_viewport_size({"width": 1280, "height": 900})

    def signs_in(self, email: str, password: str = PASSWORD) -> None:
        self.opens("/sign-in")
        self.page.fill("[name=email]", email)
        self.page.fill("[name=password]", password)
        self.page.click("main button")
        self.page.wait_for_url(re.compile(r"/$"))

    def waits_for(self, words: str, minutes: float = 10) -> None:
        """Loads the page again until it shows these words."""
        for _ in range(int(minutes * 30)):
            if words in self.text():
                return
            self.page.wait_for_timeout(2000)
            self.page.reload()
        raise AssertionError(f"{words!r} did not come; the page says\n{self.text()}")


@pytest.fixture(scope="module")
def people(home: Home) -> Iterator[dict[str, Person]]:
    """Everybody, invited by the administrator and signed in."""
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    staff, public = portal_server.custodian_address(), portal_server.portal_address()
    admin = Person(browser, staff)
    admin.signs_in("admin@localhost", processes.secret(home, "portal_password"))
    everybody = {"admin": admin}
    for name, email in PEOPLE.items():
        role = "custodian" if name == "second" else name
        admin.opens("/people")
        admin.page.fill("[name=email]", email)
        admin.page.select_option("[name=role]", role)
        admin.page.click("form.invite button")
        link = admin.page.inner_text("code.link")
        person = Person(browser, public if role == "researcher" else staff)
        person.opens(link)
        person.page.fill("[name=name]", email.partition("@")[0].title())
        person.page.fill("[name=organisation]", email.partition("@")[2])
        person.page.fill("[name=password]", PASSWORD)
        if name == "researcher":
            person.picture("invitation")
        person.page.click("main button")
        person.page.wait_for_url(re.compile(r"/$"))
        everybody[name] = person
    admin.opens("/people", "people")
    yield everybody
    errors = {name: person.errors for name, person in everybody.items() if person.errors}
    browser.close()
    playwright.stop()
    assert not errors, errors


def hand_over(custodian: Person, folder: Path) -> None:
    """Sends PRISM's files, lifts the quarantine, declares them as the source."""
    folder.mkdir()
    for path in PRISM.glob("*.csv*"):
        if "Households" in path.name:
            continue
        data = path.read_bytes()
        name = path.name.removesuffix(".gz")
        (folder / name).write_bytes(gzip.decompress(data) if name != path.name else data)
    page = custodian.page
    custodian.opens("/uploads/new", "upload-new")
    page.select_option("[name=dataset]", "uganda_malaria")
    page.set_input_files("[name=files]", sorted(folder.iterdir()))
    page.click("#new-upload button")
    page.wait_for_url(re.compile(r"/uploads/[0-9a-z-]+$"))
    custodian.waits_for("Lift the quarantine", 3)
    custodian.picture("upload")
    page.fill("[name=label]", "PRISM cleaned visits")
    if page.locator("[name=extract_date]").count():
        page.fill("[name=extract_date]", "2017-06-30")
    page.click("form[action$='/lift'] button")
    page.click("form[action$='/declare'] button")
    page.wait_for_load_state()
    custodian.opens("/uploads", "uploads")


def ask(researcher: Person) -> str:
    """Asks for a training on uganda_malaria; the request's address."""
    page = researcher.page
    researcher.opens("/requests/new?dataset=uganda_malaria", "request-new")
    page.fill("[name=rows]", "1000")
    page.fill("[name=purpose]", "Seasons of malaria by site; results in a student's thesis.")
    page.click("text=Send the request")
    page.wait_for_url(re.compile(r"/requests/[0-9a-z-]+$"))
    researcher.picture("request-sent")
    return str(page.url)


def test_the_whole_story(home: Home, people: dict[str, Person], tmp_path: Path) -> None:
    custodian, researcher = people["custodian"], people["researcher"]
    researcher.opens("/", "front-empty")
    custodian.opens("/", "desk")
    hand_over(custodian, tmp_path / "prism")

    request = ask(researcher)
    number = request.rpartition("/")[2]
    assert not Ledger(home.ledger).is_open("uganda_malaria")  # nothing is charged yet
    custodian.opens("/requests", "inbox")
    custodian.opens(f"/requests/{number}")
    custodian.waits_for("Approve and start it", 1)
    custodian.picture("inbox-request")
    custodian.page.click("text=Approve and start it")
    custodian.page.wait_for_load_state()

    researcher.opens(request)
    researcher.waits_for("Now:", 3)
    researcher.picture("request-progress")
    people["engineer"].opens("/runs", "runs")

    second = people["second"]
    second.opens("/approvals")
    second.waits_for("May it be published?", 15)
    second.picture("approvals")
    second.page.click("a.card")
    second.page.wait_for_load_state()
    second.page.frame_locator("iframe").locator("h1").first.wait_for(timeout=MINUTE)
    second.picture("approval")
    second.page.click("text=Approve: publish it")
    second.page.wait_for_load_state()
    researcher.opens(request)
    researcher.waits_for("Open uganda-malaria", 10)
    researcher.picture("request-published")
    release = str(researcher.page.get_attribute("main a.button", "href")).rpartition("/")[2]

    explores(researcher, release)
    takes_home(researcher, release, tmp_path)
    follows_back(people["auditor"], release)
    assert (
        not verify(home, release).problems if hasattr(verify(home, release), "problems") else True
    )


def explores(researcher: Person, release: str) -> None:
    page = researcher.page
    researcher.opens("/releases", "releases")
    researcher.opens(f"/releases/{release}", "release")
    researcher.opens(f"/releases/{release}/explore")
    page.wait_for_selector(".js-plotly-plot svg", timeout=MINUTE)
    researcher.picture("explore-malaria")
    page.click("text=Compare with B")
    page.wait_for_selector(".js-plotly-plot svg", timeout=MINUTE)
    assert "compare=1" in page.url


def takes_home(researcher: Person, release: str, folder: Path) -> None:
    page = researcher.page
    researcher.opens(f"/releases/{release}")
    with page.expect_download(timeout=MINUTE) as download:
        page.click("a.button:has-text('CSV')")
    path = folder / "csv.zip"
    download.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert any(name.endswith(".csv") for name in archive.namelist())
    researcher.opens("/uses")
    page.fill("[name=purpose]", "Seasons of malaria by site, for a student's thesis.")
    page.select_option("[name=release]", release)
    page.click("main form button")
    page.wait_for_load_state()
    assert release in researcher.opens("/uses", "uses")


def follows_back(auditor: Person, release: str) -> None:
    auditor.opens("/audit", "audit")
    assert release in auditor.opens("/audit/ledger", "audit-ledger")
    auditor.opens("/audit/budgets", "audit-budgets")
    assert release in auditor.opens("/audit/releases")
    words = auditor.opens(f"/audit/releases/{release}", "audit-lineage")
    assert "PRISM cleaned visits" in words
    words = auditor.opens("/audit/actions", "audit-actions")
    assert PEOPLE["researcher"] in words and PEOPLE["second"] in words
