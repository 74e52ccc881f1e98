"""The custodian's page: its structure, its words, odd contents, the same bytes."""

import json
import math
import re
from html.parser import HTMLParser

import polars as pl
import pytest
from report_cases import content, empty, finding, patients, risk, schema, without_values

from pipeline.evaluation.page import ReportContent, metrics, page, to_json
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import PatientLog

VOID = {"meta", "br"}


class Structure(HTMLParser):
    """Checks that elements nest, and collects headings, pictures and anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.is_new = False  # whether the last tag opened a picture
        self.open: list[str] = []
        self.headings: list[int] = []
        self.first_in_svg: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.names: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, name: str, fields: list) -> None:
        self.note(name, dict(fields))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, fields: list) -> None:
        self.note(name, dict(fields))

    def note(self, name: str, fields: dict) -> None:
        if self.open and self.open[-1] == "svg" and self.is_new:
            self.first_in_svg.append(name)
        self.is_new = name == "svg"
        self.names.add(name)
        if re.fullmatch("h[1-6]", name):
            self.headings.append(int(name[1]))
        if "id" in fields:
            self.ids.append(fields["id"])
        if name == "a":
            self.targets.append(fields["href"])

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name, name


@pytest.fixture(scope="module")
def text() -> str:
    return page(content())


def seen(text: str) -> str:
    """What a reader sees: no markup, no style."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))


def test_headings_are_in_order_and_every_anchor_has_its_place(text: str) -> None:
    structure = Structure(text)
    assert structure.open == []
    assert structure.headings[0] == 1 and structure.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(structure.headings, structure.headings[1:], strict=False))
    assert len(set(structure.ids)) == len(structure.ids)
    assert {t[1:] for t in structure.targets if t.startswith("#")} <= set(structure.ids)
    assert 'lang="en"' in text and "viewport" in text


def test_every_picture_has_a_title(text: str) -> None:
    structure = Structure(text)
    assert text.count("<svg") > 40
    assert set(structure.first_in_svg) == {"title"}
    assert len(structure.first_in_svg) == text.count("<svg")


def test_nothing_is_loaded_from_anywhere(text: str) -> None:
    plain = text.replace("http://www.w3.org/2000/svg", "")
    assert "http" not in plain and "//" not in plain.replace("</", "")
    assert "<script" not in text and "src=" not in text and "url(" not in text
    assert "@import" not in text and "<link" not in text


def test_the_page_opens_with_the_verdict_and_the_warnings(text: str) -> None:
    order = [
        text.index(one)
        for one in (
            "<h2>Verdict</h2>",
            "What the gate warns of",
            ">Contents<",
            'id="ingest"',
            'id="analyses"',
            'id="hazards"',
            'id="survival"',
            'id="flow"',
            'id="transitions"',
            'id="attacks"',
        )
    ]
    assert order == sorted(order)


def test_a_column_and_its_codes_are_in_words(text: str) -> None:
    words = seen(text)
    for one in ("Stage at diagnosis", "Tumour group", "Drug regimen", "White British", "Stage 4"):
        assert one in words
    for name in schema().patients:
        assert name not in words, name
    assert "SACT" not in words and not re.search(r"\bC\d\d\b", words)


def test_numbers_are_written_as_people_read_them(text: str) -> None:
    words = seen(text)
    assert "100% of rows" in words and "1.2% of rows" in words
    assert not re.search(r"\d[eE][+-]\d", words)
    assert not re.search(r"\b(?:nan|inf)\b", words)
    assert not re.search(r"\d\.\d{5}", words)


def test_what_comes_in_is_escaped(text: str) -> None:
    assert "Pathways <b>&" not in text and "Pathways &lt;b&gt;&amp;" in text
    mean = "<img src=x>"
    other = page(
        content(
            release=mean,
            findings=[finding("A1", 3.0, what=mean, group=mean)],
            risks=[risk(mean, 0.1, 0.1)],
            real_name=mean,
            analyses={"A1": mean},
        )
    )
    assert "<img" not in other


def test_the_same_content_makes_the_same_bytes(text: str) -> None:
    assert page(content()) == text


def test_a_page_of_a_whole_registry_is_small(text: str) -> None:
    assert len(text.encode()) < 1_500_000


def test_a_link_leads_to_a_file_beside_the_page(text: str) -> None:
    assert 'href="gate/docs/index.html"' in text
    for target in ("https://example.org", "//example.org", "javascript:alert(1)"):
        with pytest.raises(Refusal, match="beside"):
            page(content(links={"x": target}))


def nothing(**changes: object) -> ReportContent:
    """No figure at all, and no patients."""
    log = empty(patients(1))
    return ReportContent(
        **(
            {"title": "t", "release": "r", "schema": schema(), "real": log, "synthetic": log}
            | changes
        )
    )


@pytest.mark.parametrize(
    "odd",
    [
        nothing(),
        nothing(real=patients(1)),
        nothing(real=patients(1), synthetic=without_values(patients(2))),
        content(real=PatientLog(patients(1).patients)),
        content(synthetic=patients(1).of(patients(1).patients.head(1))),
        content(real=PatientLog(patients(1).patients, patients(1).pathways.head(0))),
        content(findings=[finding("A1", math.nan)], risks=[risk("a", math.nan, math.nan)]),
        content(findings=[finding("A11", 0.1)], utilities=(), fidelity=(), warnings=()),
    ],
    ids=["nothing", "no synthetic", "no values", "no events", "one", "no rows", "nan", "odd"],
)
def test_odd_contents_make_a_page(odd: ReportContent) -> None:
    structure = Structure(page(odd))
    assert structure.open == [] and set(structure.first_in_svg) <= {"title"}
    json.dumps(to_json(odd), allow_nan=False)
    assert all(math.isfinite(value) for value in metrics(odd).values())


def test_a_table_without_events_has_no_pathways() -> None:
    adult = schema("adult")
    rows = pl.DataFrame(
        {
            "patient_id": range(40),
            **{
                name: [column.categories[i % 2] for i in range(40)]
                if column.is_categorical
                else [float(column.lower) + i for i in range(40)]
                for name, column in adult.patients.items()
            },
        }
    )
    log = PatientLog(rows)
    text = page(nothing(schema=adult, real=log, synthetic=log))
    for anchor in ("survival", "flow", "transitions", "waiting", "hazards"):
        assert f'id="{anchor}"' not in text
    assert "Capital gains" in text and "Kind of employer" in text


def test_a_log_of_visits_has_pathways() -> None:
    """Another layout than the registry's: no treatments are declared, codes say who died."""
    malaria = schema("uganda_malaria")
    n = 60
    rows = pl.DataFrame(
        {
            "patient_id": range(n),
            **{
                name: [column.categories[i % 2] for i in range(n)]
                if column.is_categorical
                else pl.Series([column.lower + i for i in range(n)]).cast(
                    pl.Int32 if column.kind == "date" else pl.Float64
                )
                for name, column in malaria.patients.items()
            },
        }
    ).with_columns(pl.col("enrollment_date").cast(pl.Date))
    steps = [
        ("Enrollment", 0, None),
        ("Scheduled visit", 30, None),
        ("Unscheduled visit", 40, None),
    ]
    events = pl.DataFrame(
        [
            (i, seq, day + i, kind, code)
            for i in range(n)
            for seq, (kind, day, code) in enumerate(
                [*steps[: 1 + i % 3], ("End of follow-up", 90, ["Death", "Completed study"][i % 2])]
            )
        ],
        schema=["patient_id", "seq", "day", "type", "code"],
        orient="row",
    )
    log = PatientLog(rows, events)
    text = page(nothing(schema=malaria, real=log, synthetic=log))
    assert Structure(text).open == []
    assert "still free of death, by study site" in text
    assert "Flow of events" in text and "Scheduled visit 67%" in text


def test_json_holds_what_the_page_says() -> None:
    whole = to_json(content())
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert whole["analyses"]["A7"]["n_fail"] == 1 and len(whole["verdict"]) == 3
    assert whole["findings"][10]["distance"] is None
    assert whole["fidelity"][0]["from_worst_to_best"] == pytest.approx(0.33 / 0.36)
    assert whole["attacks"][0]["attack"] == "singling out"


def test_figures_for_tracking_have_flat_names() -> None:
    figures = metrics(content())
    assert figures["report/analyses/A7_pass_share"] == 0.9
    assert figures["report/attacks/singling_out_advantage"] == pytest.approx(0.002)
    assert figures["report/fidelity/two_way_tvd"] == 0.09
    assert figures["report/gate/warnings"] == 2
    assert "report/analyses/A2_pass_share" not in figures  # untested
    assert all(re.fullmatch(r"[\w/]+", name) for name in figures)
