"""The data card: what an extract is, what it promises, and what it is not for. One set of facts, as
JSON and in plain English.
"""

from __future__ import annotations

from typing import Any

from pipeline.released import card_evidence, card_limits, card_patients, card_plan
from pipeline.released.card_limits import ModelFacts
from pipeline.schema.values import KnownTable, Schema

PUBLIC = (
    "the declaration: tables, columns, code lists, bounds and rules",
    "the source's label and extract date",
    "the settings of the run and every noise level",
    "the number of synthetic patients, which was chosen, not counted",
)
FOR = "code development, training, feasibility, method testing"
NOT_FOR = "Not for clinical use, not for decisions about people, not a source of official figures."


def facts(
    schema: Schema,
    *,
    release_id: str,
    source_label: str | None,
    rows: int,
    extract_date: str | None,
    code_version: str,
    privacy: dict[str, Any],
    approval: dict[str, Any],
    drawn_from: str | None,
    model: ModelFacts,
    plan: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything the card says, from the declaration, the ledger and the run's params; no patient's
    row is looked at.

    `privacy`: epsilon and delta of the release, mechanisms, and the population's balance and chain
    head, as the ledger gives them. `plan`: as `plan_facts` says it.
    """
    return {
        "release_id": release_id,
        "dataset": schema.dataset,
        "title": schema.title,
        "source": schema.source,
        "source_label": source_label,
        "citation": schema.citation,
        "licence": schema.licence,
        "synthetic_patients": rows,
        "extract_date": extract_date,
        "code_version": code_version,
        "drawn_from": drawn_from,
        "plan": plan,
        "privacy": {
            "unit": "one patient with everything he or she has, in all tables",
            "neighbours": (
                "two populations that differ by adding or removing that patient (ADD_OR_REMOVE_ONE)"
            ),
            **privacy,
        },
        "public": list(PUBLIC),
        "not_covered": card_limits.not_covered(schema),
        "empty_columns": card_limits.empty_columns(schema),
        "approval": approval,
        **_model_facts(schema, model),
        "use": {"for": FOR, "not_for": NOT_FOR},
    }


def _model_facts(schema: Schema, model: ModelFacts) -> dict[str, Any]:
    return {
        "engine": model.engine,
        "independent_pairs": [list(pair) for pair in model.independent],
        "known": [_published(table) for table in model.published],
        "limits": card_limits.limits(schema, model),
        "gate_warnings": list(model.warnings),
        "evidence": model.evidence.to_json() if model.evidence is not None else None,
    }


def _published(table: KnownTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "columns": list(table.columns),
        "year": table.year,
        "source": table.source,
        "weight": table.weight,
    }


def markdown(card: dict[str, Any]) -> str:
    """The card for people."""
    lines = [
        *_introduction(card),
        *card_plan.markdown(card["plan"]),
        *_guarantee(card["privacy"]),
        "### What ran",
        "",
        "| mechanism | times | noise |",
        "|---|---|---|",
        *[
            f"| {name} | {times:,} | {noise} |"
            for name, times, noise in _grouped(card["privacy"]["mechanisms"])
        ],
        "",
        *_bullets("### What is public", card["public"]),
        *_bullets("### What the guarantee does not cover", card["not_covered"]),
        *_bullets("## Known limits", card["limits"]),
        *_gate_warnings(card["gate_warnings"]),
        *card_evidence.markdown(card["evidence"]),
        "## Approval",
        "",
        _approval(card["approval"]),
        "",
    ]
    if card["empty_columns"]:
        lines += [
            "## Columns that are always empty here",
            "",
            ", ".join(f"`{name}`" for name in card["empty_columns"]),
            "",
        ]
    lines += _independent(card["independent_pairs"])
    lines += _known_tables(card["known"])
    for name in ("citation", "licence"):
        if card[name]:
            lines += [f"{name.capitalize()}: {card[name]}", ""]
    return "\n".join(lines)


def _gate_warnings(warnings: list[str]) -> list[str]:
    if not warnings:
        return []
    return _bullets("## What the rules find odd in these synthetic rows", warnings)


def _independent(pairs: list[list[str]]) -> list[str]:
    """The pairs by the column that stands first in the declaration."""
    if not pairs:
        return []
    others: dict[str, list[str]] = {}
    for first, second in pairs:
        others.setdefault(first, []).append(second)
    return _bullets(
        "## Columns that were drawn independently of each other",
        [
            f"`{first}` of {', '.join(f'`{name}`' for name in names)}"
            for first, names in others.items()
        ],
    )


def _known_tables(tables: list[dict[str, Any]]) -> list[str]:
    if not tables:
        return []
    return [
        "## What was known beforehand",
        "",
        (
            "The model shrinks towards these published tables where the noise is larger than their"
            " error. They were read from public documents, not from the source. Where the extract"
            " agrees with one of them, that is no evidence that the source does."
        ),
        "",
        *[
            f"- `{table['name']}` ({', '.join(table['columns'])}; {table['year']}; worth"
            f" {table['weight']:,.0f} patients at most): {table['source']}"
            for table in tables
        ],
        "",
    ]


def _bullets(heading: str, items: list[str]) -> list[str]:
    return [heading, "", *[f"- {item}" for item in items], ""]


def _introduction(card: dict[str, Any]) -> list[str]:
    lines = [
        f"# {card['title']}: synthetic extract {card['release_id']}",
        "",
        (
            f"{card['synthetic_patients']:,} synthetic patients. **No row is a real patient.**"
            f" {NOT_FOR}"
        ),
        "",
        "## What it is",
        "",
        f"Rows drawn from a model that was trained with differential privacy on: {card['source']}"
        + (f" (state of the source: {card['source_label']})." if card["source_label"] else "."),
        f"Static columns come from: {card['engine']}.",
        "",
        f"Made for {card['use']['for']}.",
        "",
    ]
    if card["drawn_from"]:
        lines += [
            (
                "This extract was drawn from the published model of release"
                f" `{card['drawn_from']}`: nothing was charged for it."
            ),
            "",
        ]
    return lines


def _guarantee(privacy: dict[str, Any]) -> list[str]:
    return [
        "## The guarantee",
        "",
        (
            f"Protected is {privacy['unit']}. Whoever sees this extract, and whatever else he or"
            " she knows, learns nearly the same as if any one patient had not been in the source:"
            " the chance of any conclusion changes by a factor of at most"
            f" e^{privacy['epsilon']:.3g}, up to a probability of {privacy['delta']:.0e}."
        ),
        "",
        "| | |",
        "|---|---|",
        f"| epsilon of this release | {privacy['epsilon']:.4g} |",
        f"| delta (of the population's whole life) | {privacy['delta']:.0e} |",
        f"| neighbours | {privacy['neighbours']} |",
        f"| population | {privacy['population']}: {privacy['universe']} |",
        (
            f"| spent by all releases so far | {privacy['share_spent']:.1%} of the budget of"
            f" epsilon {privacy['epsilon_total']:.4g} |"
        ),
        f"| the budget | {_budget(privacy)} |",
        *_others(privacy),
        (
            "| its charge among those of the population, chain head |"
            f" {privacy['charge']}, `{privacy['chain_head']}` |"
        ),
        f"| its entry in the transparency log | {privacy['log_entry']} |",
        "",
        *card_patients.markdown(privacy["membership"]),
    ]


def _budget(privacy: dict[str, Any]) -> str:
    change = (
        ""
        if privacy["epsilon_total"] == privacy["epsilon_opened"]
        else f", opened at {privacy['epsilon_opened']:.4g} and raised since"
    )
    return (
        f"epsilon {privacy['epsilon_total']:.4g}{change}; it may be raised to"
        f" {privacy['epsilon_ceiling']:.4g} and never above"
    )


def _others(privacy: dict[str, Any]) -> list[str]:
    """Whose budgets add up with this one, and whose rows were opened, where there is something to
    say.
    """
    others = [name for name in privacy["overlapping_populations"] if name != privacy["population"]]
    together = (
        f"epsilon {privacy['epsilon_total_of_overlapping']:.4g} (at most"
        f" {privacy['epsilon_ceiling_of_overlapping']:.4g} if raised), delta"
        f" {privacy['delta_total_of_overlapping']:.0e}"
    )
    lines = (
        [
            f"| populations that may hold the same patients | {', '.join(others)}: together with"
            f" this one {together} |"
        ]
        if others
        else []
    )
    return lines + (
        [f"| cohorts whose rows were opened | {', '.join(privacy['cohorts'])} |"]
        if privacy["cohorts"]
        else []
    )


def _grouped(mechanisms: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    """One line per kind of mechanism; card.json lists every noise level."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for one in mechanisms:
        grouped.setdefault(one["mechanism"], []).append(one)
    return [
        (name, sum(one["times"] for one in ones), _noise(ones)) for name, ones in grouped.items()
    ]


def _noise(ones: list[dict[str, Any]]) -> str:
    sigmas = sorted(one["sigma"] for one in ones if "sigma" in one)
    if len(sigmas) < 2:
        return str(ones[0]["noise"])
    return f"sigma {sigmas[0]:.3g} to {sigmas[-1]:.3g}, each in card.json"


def _approval(approval: dict[str, Any]) -> str:
    if approval.get("self_approved"):
        return "The run approved itself, as its settings allow for simulated and public data."
    return f"Approved by {approval.get('by', 'a custodian')}."
