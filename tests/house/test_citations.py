"""Every page, rule and section that a text cites exists, and the pages on rules say what the code
does.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.every import CHECKS
from pipeline.checks.rules import RULES, Rule
from pipeline.schema.reader import read_schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
READ = {".py", ".md", ".yaml", ".yml", ".toml"}
OUTPUTS = {"card.md", "START.md"}  # files of a release, not pages of this repository
PRIVACY, CLINICAL = "privacy_rules.md", "clinical_rules.md"

NUMBER = r"\d+(?:\.\d+)*[a-z]?(?![\w%])"
NUMBERS = rf"{NUMBER}(?:(?:,\s+|\s+and\s+|,?\s+to\s+){NUMBER})*"
PAGE = re.compile(r"(?<![\w./-])(?P<folder>[\w./-]*/)?(?P<page>\w+\.md)\b")
CITED_NUMBERS = re.compile(rf"\)?,?\s+(?:(?:rules?|sections?|steps?)\s+)?(?P<numbers>{NUMBERS})")
CITED_HEADING = re.compile(r"""\)?,\s+(?P<mark>[*"])(?P<heading>[^*"]+)(?P=mark)""")
BARE = re.compile(
    rf"(?<![\w-])(?:(?P<kind>[Pp]rivacy|[Cc]linical)\s+)?[Rr]ules?\s+(?P<numbers>{NUMBERS})"
)
NAMED_PATH = re.compile(r"`((?:pipeline|audit|bench|dags|datasets|tests)/[\w./-]*)`")


@dataclass(frozen=True)
class Page:
    """What a text may cite of a page: its numbers (of headings, list items or rules) and its
    headings in lower case.
    """

    numbers: frozenset[str]
    headings: frozenset[str]


def page_of(name: str, text: str) -> Page:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    numbers = {match[0] for heading in headings if (match := re.match(r"\d+(?:\.\d+)*", heading))}
    numbers |= set(re.findall(r"^(\d+)\. ", text, re.MULTILINE))
    if name == CLINICAL:
        for rule in re.findall(r"^\| (\d+[a-z]?) \|", text, re.MULTILINE):
            numbers |= {rule, rule.rstrip("abc")}
    titles = {re.sub(r"^[\d.]+ ", "", heading).lower() for heading in headings}
    return Page(frozenset(numbers), frozenset(titles))


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    return {
        path.name: page_of(path.name, path.read_text(encoding="utf-8"))
        for path in DOCS.glob("*.md")
    }


def wrong_citations(text: str, pages: dict[str, Page], own: str | None = None) -> list[str]:
    """What `text` cites and nobody finds. `own`: the page that it is itself, which its bare "rule
    4" speaks of.
    """
    wrong = []
    rest = text
    for match in PAGE.finditer(text):
        name, folder = match["page"], match["folder"] or ""
        if folder not in ("", "docs/"):
            base = DOCS if folder.startswith("../") else ROOT  # links of pages go from docs/
            if not (base / folder / name).is_file():
                wrong.append(f"{folder}{name}: there is no such file")
        elif name not in pages and name not in OUTPUTS and not (ROOT / name).is_file():
            wrong.append(f"{name}: there is no such page in docs/")
        elif name in pages:
            if cited := CITED_NUMBERS.match(text, match.end()):
                wrong += missing_numbers(name, cited["numbers"], pages)
                rest = (
                    rest[: cited.start()]
                    + " " * (cited.end() - cited.start())
                    + rest[cited.end() :]
                )
            elif (cited := CITED_HEADING.match(text, match.end())) and cited[
                "heading"
            ].lower() not in pages[name].headings:
                wrong.append(f"{name}: there is no heading {cited['heading']!r}")
    return wrong + wrong_rules(rest, pages, own)


def wrong_rules(text: str, pages: dict[str, Page], own: str | None) -> list[str]:
    """Rules that are cited without their page: `privacy rule 7`, or `rule 7` where the text names
    one of the two pages.
    """
    named = (
        [own]
        if own in (PRIVACY, CLINICAL)
        else [page for page in (PRIVACY, CLINICAL) if page in text]
    )
    wrong = []
    for match in BARE.finditer(text):
        candidates = [f"{match['kind'].lower()}_rules.md"] if match["kind"] else named
        if len(candidates) == 1:
            wrong += missing_numbers(candidates[0], match["numbers"], pages)
        else:
            wrong.append(f"{match[0]!r}: say which, a privacy rule or a clinical rule")
    return wrong


def missing_numbers(name: str, cited: str, pages: dict[str, Page]) -> list[str]:
    return [
        f"{name}: there is no {number}"
        for number in re.findall(NUMBER, cited)
        if number not in pages[name].numbers
    ]


def texts() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    paths = [ROOT / name for name in listed if name] or [
        path for path in ROOT.rglob("*") if ".venv" not in path.parts
    ]
    return [
        path
        for path in paths
        if (path.suffix in READ or path.name == "Makefile")
        and path.is_file()
        and path != Path(__file__)
    ]


def readable(path: Path) -> str:
    """The text of a file; a comment of several lines is one sentence."""
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".md" else re.sub(r"\n\s*# ", " ", text)


def test_whatever_is_cited_exists(pages: dict[str, Page]) -> None:
    wrong = []
    for path in texts():
        own = path.name if path.parent == DOCS else None
        found = wrong_citations(readable(path), pages, own)
        wrong += [f"{path.relative_to(ROOT)}: {citation}" for citation in found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("as the rules demand (domain.md 3.5)", "domain.md: there is no such page"),
        ("see docs/rules.md for them", "rules.md: there is no such page"),
        ("see bench/nothing.md", "there is no such file"),
        ("[files](../expectations/NOTHING.md)", "there is no such file"),
        ("charged once (privacy_rules.md 20)", "privacy_rules.md: there is no 20"),
        ("charged once (privacy_rules.md 7, 16 and 21)", "privacy_rules.md: there is no 21"),
        ("charged once (docs/privacy_rules.md, rule 0)", "privacy_rules.md: there is no 0"),
        ("cycles (clinical_rules.md 59)", "clinical_rules.md: there is no 59"),
        ("cycles (clinical_rules.md 37a)", "clinical_rules.md: there is no 37a"),
        ("codes (registry_tables.md section 1.9)", "registry_tables.md: there is no 1.9"),
        ("[tables](registry_tables.md), 1.9, says", "registry_tables.md: there is no 1.9"),
        ("privacy_rules.md, *The last section*", "privacy_rules.md: there is no heading"),
        ("no count twice (privacy rule 33)", "privacy_rules.md: there is no 33"),
        ("at most 120 days (clinical rules 38 and 60)", "clinical_rules.md: there is no 60"),
        ("Counts (privacy_rules.md 8), and no key (rule 44)", "privacy_rules.md: there is no 44"),
        ("no page is named (rule 12)", "say which"),
        ("privacy_rules.md 5, clinical_rules.md 55: rule 7", "say which"),
    ],
)
def test_a_wrong_citation_is_found(text: str, said: str, pages: dict[str, Page]) -> None:
    assert any(said in citation for citation in wrong_citations(text, pages))


@pytest.mark.parametrize(
    "text",
    [
        "charged once (privacy_rules.md 7, 16)",
        "docs/privacy_rules.md, rules 14 to 16",
        "Counts (privacy_rules.md 8; rule 12)",
        "clinical rules 22a and 22",
        "registry_tables.md 1.4",
        "privacy_rules.md, *Tests*",
        "[files](../expectations/README.md)",
        "the card (card.md), README.md and [table_model.md](table_model.md), step 5",
    ],
)
def test_a_right_citation_passes(text: str, pages: dict[str, Page]) -> None:
    assert not wrong_citations(text, pages)


def allowance(rule: Rule) -> str:
    """As the page writes what a rule allows."""
    low, high = rule.bounds
    if low is None and high is None:
        return "no limit"
    if low is None and high == 0:
        return "none"
    low_text, high_text = (
        None if bound is None else f"{bound:g}" if (high or 0) > 1 else f"{100 * bound:g}%"
        for bound in (low, high)
    )
    return (
        f"{low_text} to {high_text}"
        if low_text and high_text
        else f"at least {low_text}"
        if low_text
        else f"at most {high_text}"
    )


def needs(rule: Rule) -> str:
    return (
        "; ".join(f"`{table}`: {', '.join(columns)}" for table, columns in rule.reads.items())
        or "-"
    )


def clinical_rows() -> list[list[str]]:
    """number with letter, severity, allowed, what is checked, needs."""
    text = (DOCS / CLINICAL).read_text(encoding="utf-8")
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if re.match(r"\| \d+[a-z]? \| [FW] \|", line)
    ]


def test_the_page_of_clinical_rules_is_what_the_code_checks() -> None:
    page = {row[0]: (row[1], row[2], row[4]) for row in clinical_rows()}
    assert page == {
        f"{rule.number}{rule.part}": (rule.severity, allowance(rule), needs(rule)) for rule in RULES
    }
    assert {rule.number for rule in RULES} == set(range(1, 59))


def test_no_clinical_rule_is_left_unexplained() -> None:
    assert all(len(row) == 5 and row[3].endswith((".", ")")) for row in clinical_rows())


def test_every_privacy_rule_says_where_it_is_kept_and_what_would_catch_a_breach() -> None:
    text = (DOCS / PRIVACY).read_text(encoding="utf-8")
    rules = re.split(r"^### ", text.split("## Not covered")[0], flags=re.MULTILINE)[1:]
    assert [rule.split(".")[0] for rule in rules] == [str(number) for number in range(1, 20)]
    checks = {check.name for check in CHECKS}
    for rule in rules:
        kept, caught = (
            " ".join(rule.split("\n## ")[0].split()).split("- Kept in: ")[1].split("- Caught by: ")
        )
        named = re.findall(r"`([^`]+)`", caught)
        assert NAMED_PATH.search(kept) and named, rule
        assert all("/" in name or name in checks for name in named), rule


def test_the_page_of_tables_lists_the_declared_columns_by_role() -> None:
    declared = read_schema(ROOT / "datasets" / "cancer_pathways.yaml")
    text = (DOCS / "registry_tables.md").read_text(encoding="utf-8")
    block = text.split("<!-- columns")[1].split("<!-- /columns -->")[0]
    for table in declared.tables.values():
        by = (
            table.patient or f"{table.through[1]} of `{table.through[0]}`"
            if table.patient or table.through
            else "-"
        )
        roles = [
            ", ".join(column.name for column in table.columns.values() if column.role == role)
            or "-"
            for role in ("modelled", "rebuilt", "key", "carried")
        ]
        key = ", ".join(table.key) or "-"
        line = f"| `{table.name}` ({len(table.columns)}) | {key} | {by} | {' | '.join(roles)} |"
        assert line in block, f"docs/registry_tables.md, 1.3, should say: {line}"


def test_every_path_that_a_page_names_exists() -> None:
    named = [
        (path.name, ROOT, name)
        for path in [*DOCS.glob("*.md"), ROOT / "README.md"]
        for name in NAMED_PATH.findall(path.read_text(encoding="utf-8"))
    ]
    for model in ("table", "pathway"):
        text = (DOCS / f"{model}_model.md").read_text(encoding="utf-8")
        named += [
            (f"{model}_model.md", ROOT / "pipeline" / "models" / model, name)
            for name in re.findall(r"`(\w+/\w+\.py)`", text)
        ]
    declared = (ROOT / "datasets" / "cancer_pathways.yaml").read_text(encoding="utf-8")
    adapters = ROOT / "pipeline" / "adapters"
    named += [
        ("cancer_pathways.yaml", adapters, f"simulacrum/{name}.py")
        for name in re.findall(r"\(simulacrum\.(\w+)[.)]", declared)
    ]
    missing = {f"{page}: {name}" for page, folder, name in named if not (folder / name).exists()}
    assert len(named) > 200
    assert not missing, sorted(missing)
