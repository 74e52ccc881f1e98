"""What outlives a run (ledger, version stores, keys, MLflow) below the project's home, or where the
deployment says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline import environment, files
from pipeline.catalog import deployment
from pipeline.catalog.contents import BudgetReport, Release, UploadFolder
from pipeline.catalog.deployment import Deployment
from pipeline.catalog.version import refuse_newer
from pipeline.catalog.zones import Workspace
from pipeline.refusal import Refusal

# In the path of a home. polars takes * ? [ for a pattern, Airflow $NAME for a variable and {{ for
# a template, `dvc get` what is before a colon for a host, a database's URL %20 for a blank; a line
# ends at a line break everywhere.
UNUSABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff*?\[$:]|\{[{%#]|%[0-9A-Fa-f]{2}")

STORE = "registry.git"  # a version store, in the folder of its zone


def project_root() -> Path:
    """Where the code lies: the folder that holds `pipeline/`."""
    return Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Home:
    """What outlives a run. `SYNDASERA_HOME` moves it; without it, the project's own folder."""

    root: Path

    @classmethod
    def find(cls) -> Home:
        """The home by its absolute path. Raises Refusal for a path that polars, Airflow or a
        template would read as another one, and for the state of a newer version of the code.
        """
        return cls.at(Path(environment.home_folder() or project_root()))

    @classmethod
    def at(cls, root: Path) -> Home:
        """The home at an absolute path. Raises as `find` does."""
        if character := UNUSABLE.search(str(root)):
            raise Refusal(
                f"the home {str(root)!r} holds {character[0]!r}, which some program that works"
                " there takes for a pattern, a variable or the end of a line: choose another folder"
                " (SYNDASERA_HOME). Nothing was written"
            )
        home = cls(root)
        refuse_newer(home.state)
        return home

    @property
    def deployment(self) -> Deployment:
        """Where things live that several hosts share; nothing on one host."""
        return deployment.of(self.root, environment.deployment_file())

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def version(self) -> Path:
        """The number of the state's form."""
        return self.state / "version"

    @property
    def released(self) -> Path:
        """The released zone: what everybody may read."""
        return self.state / "released"

    @property
    def mlruns(self) -> Path:
        """MLflow's database and files. Restricted."""
        return self.root / "mlruns"

    def set_modes(self) -> None:
        """Nobody but the owner reads what lies in the home, files of before this was so included;
        the released zone everybody may read whom the folders above it let through.
        """
        for path in (*self.state.glob("*"), self.runs, self.mlruns):
            if path != self.released:
                files.keep_private(path)
        if self.state.is_dir():
            files.keep_unlisted(self.state)
        files.open_to_readers(self.released)

    @property
    def runs(self) -> Path:
        return Path(self.deployment.workspaces or self.root / "runs")

    @property
    def ledger(self) -> str:
        """Where the ledger is: the URL in SYNDASERA_LEDGER, else the deployment's database, else
        the URL in `state/ledger.url`, else the file `state/ledger.db`.
        """
        if url := environment.ledger_url():
            return url
        if url := self.deployment.database:
            if self.ledger_file.is_file() and not self.ledger_url.is_file():
                raise Refusal(
                    f"state/ledger.db holds this home's charges, and {deployment.NAME} names a"
                    " database: take the file away, move the ledger (`python -m pipeline ledger"
                    f" move {url}`), and put the file back"
                )
            return url
        if not self.ledger_url.is_file():
            return str(self.ledger_file)
        if not (url := self.ledger_url.read_text(encoding="utf-8").strip()):
            raise Refusal(
                "state/ledger.url is empty: write the URL of the ledger's database there, or"
                " restore it from the backup"
            )
        return url

    @property
    def ledger_file(self) -> Path:
        """The ledger where no URL is given."""
        return self.state / "ledger.db"

    @property
    def ledger_url(self) -> Path:
        """Written by `python -m pipeline ledger move`. Restricted: it may hold a password."""
        return self.state / "ledger.url"

    @property
    def keys(self) -> Path:
        """Permanent secret keys (the holdout's). Restricted; backed up with the ledger."""
        return Path(self.deployment.keys or self.state / "keys")

    @property
    def makes_keys(self) -> bool:
        """Whether a key may be made there. A mounted folder is filled by a person."""
        return self.deployment.keys is None

    @property
    def sources(self) -> Path:
        """The custodian's declarations: for each dataset, where its source lies and its public
        label.
        """
        return self.state / "sources.yaml"

    @property
    def source_paths(self) -> Path:
        """Which population the rows at a path belong to, as older versions kept it: it is taken
        over into the registers. Restricted.
        """
        return self.state / "restricted" / "source_paths.json"

    @property
    def registers(self) -> Path:
        """The claims of sources and whose turn it is, where no database is named. Restricted."""
        return self.state / "restricted" / "registers.db"

    @property
    def chain_heads(self) -> Path:
        """The ledger's chain head as each run saw it last: `<release_id>.json`. Restricted."""
        return self.state / "restricted" / "chain_heads"

    @property
    def backup_note(self) -> Path:
        """When the last backup was made. Restricted."""
        return self.state / "restricted" / "backup.json"

    @property
    def watch_note(self) -> Path:
        """What the watch found last, and when custodians were told. Restricted."""
        return self.state / "restricted" / "watch.json"

    def cohorts(self, population: str) -> Path:
        """The register of who is in which cohort of a population. Restricted; backed up with the
        ledger.
        """
        return self.state / "restricted" / "cohorts" / f"{population}.db"

    @property
    def uploads(self) -> Path:
        """What custodians handed over, a folder for each upload. Restricted."""
        return self.state / "restricted" / "uploads"

    def upload(self, upload_id: str) -> UploadFolder:
        return UploadFolder(self.uploads / upload_id)

    @property
    def upload_keys(self) -> Path:
        """The secrets of uploads. Apart from these, and in no backup: without its secret nobody
        reads what an upload left anywhere.
        """
        return self.state / "keys" / "uploads"

    def upload_key(self, upload_id: str) -> Path:
        """The secret that decrypts one upload."""
        return self.upload_keys / upload_id

    @property
    def airflow(self) -> Path:
        return self.state / "airflow"

    @property
    def portal_database(self) -> str:
        """The public portal's database: the URL in SYNDASERA_PORTAL, else a file."""
        file = self.state / "portal" / "public.db"
        return environment.portal_url() or self.deployment.portal or str(file)

    @property
    def custodian_database(self) -> str:
        """The database of the custodian's portal: the URL in SYNDASERA_CUSTODIAN, else a file.
        Restricted.
        """
        file = self.state / "restricted" / "portal" / "custodian.db"
        return environment.custodian_url() or self.deployment.custodian or str(file)

    def sign_in_secret(self, process: str, organisation: str) -> Path:
        """What an organisation knows a process of the portal ("public" or "custodian") by, beside
        that process's database. Absent where it gives none.
        """
        folder = "portal" if process == "public" else "restricted/portal"
        return self.state / folder / "sign_in" / f"{organisation}.secret"

    @property
    def portal_cache(self) -> Path:
        """What the public portal computed from released extracts; it is made again where it is
        missing.
        """
        return self.state / "portal" / "cache"

    @property
    def budget_report(self) -> BudgetReport:
        """The newest one."""
        return BudgetReport(self.state / "budget")

    def simulated(self, name: str) -> Path:
        """A source that `make run` simulated."""
        return self.state / "simulated" / name

    @property
    def params(self) -> Path:
        """Settings that new runs start from: the home's own `params.yaml`, else the project's."""
        own = self.root / "params.yaml"
        return own if own.is_file() else project_root() / "params.yaml"

    @property
    def datasets(self) -> Path:
        """Declarations, where the home has its own."""
        return self.root / "datasets"

    @property
    def declarations(self) -> Path:
        """The folder of declarations in use: the home's own, else the project's."""
        return self.datasets if self.datasets.is_dir() else project_root() / "datasets"

    @property
    def mlflow_database(self) -> Path:
        return self.mlruns / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.mlruns / "artifacts"

    @property
    def restricted_store(self) -> Path:
        """Bare git repository with DVC: dvc.lock of every run, which holds hashes of patients'
        tables.
        """
        return self.state / "restricted" / STORE

    @property
    def restricted_remote(self) -> Path:
        return self.state / "restricted" / "dvc-remote"

    @property
    def released_store(self) -> Path:
        """Bare git repository with DVC: one commit and tag per published release. Anybody may
        `dvc get` from it.
        """
        return self.released / STORE

    @property
    def released_remote(self) -> Path:
        return self.released / "dvc-remote"

    @property
    def published(self) -> Path:
        """A plain copy of each published release, for people who do not use DVC:
        `<published>/<release_id>/`.
        """
        return self.released / "extracts"

    def release(self, release_id: str) -> Release:
        """The plain copy of one published release."""
        return Release(self.published / release_id)

    def workspace(self, release_id: str) -> Workspace:
        return Workspace(self.runs / release_id)
