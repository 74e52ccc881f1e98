"""All that a custodian decides by, of one run that waits: its account, its report, its cost."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import files, params
from pipeline.catalog import Home, Workspace
from pipeline.evaluation.gate_words import gate_warnings
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.restricted import account_table
from pipeline.schema.reader import read_schema
from portal.custodian.progress import Run
from portal.shared import words


@dataclass(frozen=True)
class Case:
    """One run that waits for a person."""

    run: Run
    asked_by: str
    dataset: str
    population: str
    kind: str
    account: str  # HTML: what ingest kept
    warnings: tuple[str, ...]  # of the gate
    has_report: bool
    cost: str
    refusals_left: int  # before this answer, this run not counted

    @property
    def is_before_charge(self) -> bool:
        return self.run.question == "confirmation"


def open_case(home: Home, run: Run) -> Case:
    """What lies in the run's workspace and in the ledger. Raises Refusal where there is none."""
    workspace = home.workspace(run.release_id)
    if not run.release_id or not workspace.params.is_file():
        raise Refusal("this run has no workspace yet")
    schema = read_schema(workspace.dataset)
    restricted = workspace.restricted
    facts = files.read_json(restricted.run) or {}
    return Case(
        run=run,
        asked_by=str(facts.get("asked_by") or ""),
        dataset=schema.dataset,
        population=schema.population.name,
        kind=schema.population.kind,
        account=account_table.section(account_table.read(restricted)),
        warnings=tuple(
            map(str, gate_warnings(files.read_json(restricted.report.gate.results, {})))
        ),
        has_report=restricted.report.page.is_file(),
        cost=_cost(home, workspace, run.release_id),
        refusals_left=Ledger(home.ledger).refusals_left(schema.population.name, run.release_id),
    )


def _cost(home: Home, workspace: Workspace, release_id: str) -> str:
    """What the release was charged, or would be, in words."""
    from pipeline.models.synthesizer.plan import joint_plan  # loads torch: seconds

    ledger = Ledger(home.ledger)
    if (charge := ledger.reservation(release_id)) is not None:
        balance = ledger.balance(charge.population)
        share = charge.rdp / balance.limit_rdp
        left = 1 - balance.share_spent
        return (
            f"Charged already: epsilon {charge.epsilon:.3g} by itself,"
            f" {words.share_in_words(share)} of the whole budget; {left:.0%} of it is left. A no"
            " gives nothing back."
        )
    settings, schema = params.load(workspace.params), read_schema(workspace.dataset)
    until = settings.release.extract_date
    plan = joint_plan(schema, settings.privacy, settings.train, until)
    quote = ledger.quote(schema.population.name, plan.dp_event, settings.release.cohorts)
    share = quote.rdp / quote.left_rdp if quote.left_rdp else 2.0
    return f"Nothing is charged yet. {words.quote_in_words(share, quote.how_many_fit)}"
