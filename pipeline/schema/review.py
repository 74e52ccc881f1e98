"""What `dataset draft` read from rows and a person has not replaced yet: `review:` in a
declaration, which no reader takes (privacy_rules.md 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.schema.document import Document, Path_
from pipeline.schema.fields import FieldReader

REVIEW = "review"
PUBLIC_ROWS = "read from the published file itself"  # how `draft --public` begins a source
LEARN_LOWER, LEARN_UPPER = -1e9, 1e9  # of a number whose range is learned, whatever the rows hold
LEARN_SOURCE = (
    "nobody declares it: where the values lie is learned under the release's charge, on a public"
    f" grid from {LEARN_LOWER:g} to {LEARN_UPPER:g}"
)
_ANY = "*"
_PLACES: tuple[tuple[str, ...], ...] = (  # a column or a type may be called `review`, too
    (),
    ("population",),
    ("tables", _ANY),
    ("tables", _ANY, "columns", _ANY),
    ("patients", "columns", _ANY),
    ("events",),
    ("events", "rows"),
    ("events", "rows", _ANY),
    ("events", "ending"),
    ("events", "types", _ANY),
    ("events", "attributes", _ANY),
)


def refuse_reviews(declaration: Document) -> None:
    """Raises DeclarationError where something is still marked, and says nothing of other mistakes:
    most of them go with the marks.
    """
    places: set[str | None] = set()  # an alias is reported where it stands first
    for pattern in _PLACES:
        for path, entry in _at(declaration.value, pattern):
            place = declaration.places.get((*path, REVIEW))
            if REVIEW in entry and place not in places:
                places.add(place)
                declaration.problem((*path, REVIEW), _advice(path, entry[REVIEW]))
    declaration.raise_problems()


def _at(value: Any, place: tuple[str, ...], path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every mapping at `place`, with its path."""
    if not place:
        if isinstance(value, Mapping):
            yield path, value
        return
    if isinstance(value, Mapping):
        names = list(value) if place[0] == _ANY else [name for name in value if name == place[0]]
    else:
        names = list(range(len(value))) if isinstance(value, list) and place[0] == _ANY else []
    for name in names:
        yield from _at(value[name], place[1:], (*path, name))


def _advice(path: Path_, content: Any) -> str:
    fields = ", ".join(str(field) for field in content) if isinstance(content, Mapping) else "this"
    if not path and fields == "comments":
        return "comments tell of rows, too: take out those of the draft, then this line"
    if path == ("population",):
        return (
            f"{fields}: say who these people are and about how many, as is publicly known, instead"
            " of `review:`"
        )
    is_column = len(path) > 1 and path[-2] in ("columns", "attributes")
    source = ", name it under `source:`" if is_column else ""
    learn = " (or, for a number, `learn: true` and `decimals:`)" if _is_number(content) else ""
    return (
        f"{fields} came from rows: write what a public source says{source}{learn}, instead of"
        " `review:` (privacy_rules.md 6)"
    )


def _is_number(content: Any) -> bool:
    return isinstance(content, Mapping) and "lower" in content and "decimals" in content


def learned_range(
    reader: FieldReader, path: Path_, values: Mapping[str, Any], kind: Any
) -> dict[str, Any]:
    """The fields of a column of `learn: true` that nobody declares; notes what is not learned."""
    if values.get("learn") is not True:
        return {}
    if path[:1] == ("events",):
        fault = "is of numbers known once per patient; a number of events needs lower and upper"
    elif kind == "continuous":
        fault = "" if "decimals" in values else "needs `decimals`: how many places are kept"
    elif kind == "date":
        fault = "is of numbers: dates need lower and upper, such as the years of the study"
    else:
        fault = (
            "is of numbers: categories cannot be learned. List them from a public source (a"
            " questionnaire, a code list: `categories_from`), name the common ones with `unknown:"
            " other`, or carry the column (`role: carried`)"
        )
    if fault:
        reader.document.problem((*path, "learn"), fault)
    for field in ("lower", "upper", "transform", "scale"):
        if field in values:
            reader.document.problem((*path, field), "goes with no `learn: true`: leave one out")
    return {
        "lower": LEARN_LOWER,
        "upper": LEARN_UPPER,
        "transform": "asinh",
        "scale": 1.0,
        "source": LEARN_SOURCE,
    }
