"""Every route of both processes, and whom it is for: written by hand. Whoever adds a route writes
it down here, or tests fail.
"""

from __future__ import annotations

EVERYBODY, SIGNED_IN = ("nobody", "*"), ("*",)
AUDIT, PEOPLE, RESEARCHER = ("auditor", "custodian"), ("administrator",), ("researcher",)
UPLOADS = ("custodian",)
INBOX, RUNS = ("custodian", "engineer", "auditor"), ("custodian", "engineer")
ANSWERS = ("custodian",)
SHARED = {
    "GET /sign-in": EVERYBODY,
    "POST /sign-in": EVERYBODY,
    "GET /sign-in/with/{organisation}": EVERYBODY,
    "GET /sign-in/with/{organisation}/answer": EVERYBODY,
    "POST /sign-out": SIGNED_IN,
    "GET /invitation/{token}": EVERYBODY,
    "POST /invitation/{token}": EVERYBODY,
    "GET /account": SIGNED_IN,
    "POST /account": SIGNED_IN,
    "GET /static/plotly.min.js": EVERYBODY,
    "GET /health": EVERYBODY,
}
PUBLIC = {
    "GET /": EVERYBODY,
    "GET /releases": EVERYBODY,
    "GET /releases/{release_id}": EVERYBODY,
    "GET /releases/{release_id}/{kind}.zip": EVERYBODY,
    "GET /releases/{release_id}/files/{path:path}": EVERYBODY,
    "HEAD /releases/{release_id}/files/{path:path}": EVERYBODY,
    "GET /releases/{release_id}/SHA256SUMS": EVERYBODY,
    "GET /releases/{release_id}/CITATION.cff": EVERYBODY,
    "GET /releases/{release_id}/citation.bib": EVERYBODY,
    "GET /releases/{release_id}/explore": EVERYBODY,
    "GET /releases/{release_id}/explore/figures": EVERYBODY,
    "GET /releases/{release_id}/explore/rows": EVERYBODY,
    "GET /uses": EVERYBODY,
    "POST /uses": RESEARCHER,
    "POST /uses/{number}/remove": RESEARCHER,
    "GET /requests": RESEARCHER,
    "GET /requests/new": RESEARCHER,
    "POST /requests/new": RESEARCHER,
    "GET /requests/{number}": RESEARCHER,
    "POST /requests/{number}/messages": RESEARCHER,
    "POST /requests/{number}/withdraw": RESEARCHER,
}
CUSTODIAN = {
    "GET /": SIGNED_IN,
    "GET /audit": AUDIT,
    "GET /audit/ledger": AUDIT,
    "POST /audit/ledger/check": AUDIT,
    "GET /audit/ledger.json": AUDIT,
    "GET /audit/budgets": AUDIT,
    "GET /audit/releases": AUDIT,
    "GET /audit/releases/{release_id}": AUDIT,
    "GET /audit/releases/{release_id}/mlflow": AUDIT,
    "GET /audit/actions": AUDIT,
    "GET /audit/actions.csv": AUDIT,
    "GET /uploads": UPLOADS,
    "GET /uploads/new": UPLOADS,
    "GET /uploads/{upload_id}": UPLOADS,
    "GET /uploads/{upload_id}/state": UPLOADS,
    "HEAD /uploads/files/{upload_id}/{number}": UPLOADS,
    "PATCH /uploads/files/{upload_id}/{number}": UPLOADS,
    "POST /uploads": UPLOADS,
    "POST /uploads/{upload_id}/check": UPLOADS,
    "POST /uploads/{upload_id}/day": UPLOADS,
    "POST /uploads/{upload_id}/declare": UPLOADS,
    "POST /uploads/{upload_id}/delete": UPLOADS,
    "POST /uploads/{upload_id}/lift": UPLOADS,
    "GET /requests": INBOX,
    "GET /requests/{number}": INBOX,
    "POST /requests/{number}/approve": ANSWERS,
    "POST /requests/{number}/decline": ANSWERS,
    "POST /requests/{number}/messages": ANSWERS,
    "GET /runs": RUNS,
    "GET /runs/{release_id}": RUNS,
    "GET /approvals": ANSWERS,
    "GET /approvals/{release_id}": ANSWERS,
    "GET /approvals/{release_id}/report": ANSWERS,
    "POST /approvals/{release_id}": ANSWERS,
    "GET /people": PEOPLE,
    "POST /people": PEOPLE,
    "POST /people/{process}/withdraw": PEOPLE,
    "POST /people/{process}/{number}/{change}": PEOPLE,
}
TABLES = {"public": {**SHARED, **PUBLIC}, "custodian": {**SHARED, **CUSTODIAN}}
ROLES = {
    "public": ("nobody", "researcher"),
    "custodian": ("nobody", "custodian", "engineer", "auditor", "administrator"),
}


def may(roles: tuple[str, ...], role: str) -> bool:
    """Whether a role is among those of a route."""
    return role in roles or ("*" in roles and role != "nobody")
