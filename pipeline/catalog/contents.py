"""What lies in the folders of the catalog, by name. The same folder is found in a workspace, in a
published release and, while it is written, under a temporary name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TRUTH = "truth.json"  # what the simulator writes beside its tables
MANIFEST = "manifest.json"  # every file of a release with its checksum
TRANSPARENCY = "transparency.json"  # the log of charges as far as a release, with proofs
CARD = "card.json"  # the card as values
DATASET = "dataset.yaml"  # the declaration, `extends` resolved


@dataclass(frozen=True)
class Folder:
    root: Path


class Extract(Folder):
    """The tables as researchers get them."""

    @property
    def csv(self) -> Path:
        """`<file>.csv`, as the source's files are written."""
        return self.root / "csv"

    @property
    def parquet(self) -> Path:
        """`<file>.parquet`, with types."""
        return self.root / "parquet"

    @property
    def database(self) -> Path:
        """All tables in one DuckDB file, with views."""
        return self.root / "extract.duckdb"

    @property
    def sqlite(self) -> Path:
        """The same as a SQLite file."""
        return self.root / "extract.sqlite"


class UploadFolder(Folder):
    """What was handed over in one upload, encrypted, and what is noted of it. Restricted."""

    @property
    def record(self) -> Path:
        """State, files, dates: nothing of a row."""
        return self.root / "upload.json"

    @property
    def findings(self) -> Path:
        """What is wrong with the files' structure, by line and column: no value."""
        return self.root / "findings.json"

    @property
    def lock(self) -> Path:
        """Held while the record is changed."""
        return self.root / "lock"

    def pieces(self, number: int) -> Path:
        """The pieces of one file, each encrypted by itself."""
        return self.root / "files" / str(number)


class Patients(Folder):
    """Patients with their events in the models' own form."""

    @property
    def patients(self) -> Path:
        return self.root / "patients.parquet"

    @property
    def events(self) -> Path:
        """Absent for a dataset that is a table."""
        return self.root / "events.parquet"


class Estimates(Folder):
    """How sure a reader can be of each figure."""

    @property
    def shares(self) -> Path:
        """Every cell of the noisy tables, as shares of patients."""
        return self.root / "shares.csv"

    @property
    def survival(self) -> Path:
        """Survival and hazard ratios. Absent where survival was not counted."""
        return self.root / "survival.csv"


class Release(Folder):
    """A release, as it is published."""

    @property
    def extract(self) -> Extract:
        return Extract(self.root / "extract")

    @property
    def data(self) -> Path:
        """The CSV files again, where people who know the Simulacrum look for them."""
        return self.root / "Data"

    @property
    def documents(self) -> Path:
        """Dictionary and look-ups as workbooks."""
        return self.root / "Documents"

    @property
    def dictionary_workbook(self) -> Path:
        return self.documents / "data_dictionary.xlsx"

    @property
    def lookup_workbook(self) -> Path:
        """Every code list as a sheet. Absent where no column has one."""
        return self.documents / "all_z_lookup_tables.xlsx"

    @property
    def older_views(self) -> Path:
        """SQL: the tables of Simulacrum v1 as views. A registry's only."""
        return self.documents / "v1_views.sql"

    @property
    def quick_start(self) -> Path:
        """Programs and queries that run as they are."""
        return self.root / "quickstart"

    @property
    def readme(self) -> Path:
        """What is in which folder."""
        return self.root / "README.txt"

    @property
    def start_page(self) -> Path:
        """The quick start to read."""
        return self.root / "START.md"

    @property
    def sample(self) -> Path:
        """The first patients, in the extract's own forms."""
        return self.root / "sample"

    @property
    def estimates(self) -> Estimates:
        """Absent where the model is of before its counts were published."""
        return Estimates(self.root / "estimates")

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def dataset(self) -> Path:
        return self.root / DATASET

    @property
    def dictionary(self) -> Path:
        """Every column of every table."""
        return self.root / "dictionary.csv"

    @property
    def lookups(self) -> Path:
        """Every code list: `<name>.csv`."""
        return self.root / "lookups"

    @property
    def manifest(self) -> Path:
        return self.root / MANIFEST

    @property
    def transparency(self) -> Path:
        """The log of charges as far as this release, with its proofs. Absent from releases of
        before there was a log.
        """
        return self.root / TRANSPARENCY

    @property
    def card(self) -> Path:
        """The card as values."""
        return self.root / CARD

    @property
    def card_page(self) -> Path:
        """The card for people."""
        return self.root / "card.md"


class Validation(Folder):
    """What the suites say about the source. Restricted."""

    @property
    def results(self) -> Path:
        return self.root / "results.json"

    @property
    def docs(self) -> Path:
        """Great Expectations' data docs."""
        return self.root / "docs"


class Gate(Folder):
    """What the rules say about synthetic tables."""

    @property
    def results(self) -> Path:
        return self.root / "gate.json"

    @property
    def docs(self) -> Path:
        """Great Expectations' data docs."""
        return self.root / "docs"


class Report(Folder):
    """The custodian's report on a release. Restricted."""

    @property
    def page(self) -> Path:
        """Self-contained HTML."""
        return self.root / "index.html"

    @property
    def figures(self) -> Path:
        return self.root / "figures.json"

    @property
    def gate(self) -> Gate:
        return Gate(self.root / "gate")


class BudgetReport(Folder):
    """The report on every population's budget. Restricted."""

    @property
    def page(self) -> Path:
        return self.root / "index.html"

    @property
    def picture(self) -> Path:
        return self.root / "balance.png"

    @property
    def figures(self) -> Path:
        return self.root / "figures.json"


class Checkpoints(Folder):
    """What a training needs to go on from where it was stopped. Restricted."""

    @property
    def counts(self) -> Path:
        """Noisy counts, each stored before it is used."""
        return self.root / "counts"

    @property
    def token(self) -> Path:
        """The training's random text, which stands in the ledger too: written before the ledger's
        entry that training began.
        """
        return self.root / "begun"

    @property
    def model(self) -> Path:
        """The finished model: written once, noted in the ledger, and handed out from here."""
        return self.root / "model"

    @property
    def tape(self) -> Path:
        """What was executed for it."""
        return self.root / "tape.json"

    @property
    def lock(self) -> Path:
        """Held while a process trains."""
        return self.root / "lock"
