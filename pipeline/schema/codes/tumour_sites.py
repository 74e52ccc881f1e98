"""The ICD-10 sites of `datasets/codes/sites.yaml`, each with what is legal for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from pipeline.refusal import Refusal
from pipeline.schema.codes import lists


@dataclass(frozen=True, kw_only=True)
class Site:
    """One three-character ICD-10 site and what is legal for it."""

    code: str  # "C50"
    name: str
    group: str  # one of `lists.site_groups()`
    sexes: tuple[str, ...]  # GENDER codes
    # SITE_ICD10_O2 values; (code,) where ICD-10 has no fourth character
    codes4: tuple[str, ...]
    icdo3: str  # three-character ICD-O-3 topography
    # the whole code where the site has one; None: `icdo3` + fourth character (9 where there is
    # none)
    icdo3_code: str | None
    morphologies: tuple[str, ...]  # four digits
    behaviours: tuple[str, ...]
    staging: str  # tnm | ann_arbor_tnm | binet | iss | none
    stages: tuple[str, ...]  # legal known STAGE_BEST values
    unknown_stages: tuple[str, ...]
    stage_systems: tuple[str, ...]
    # fourth-character codes that may be staged (all but for Binet and ISS)
    staged_codes4: tuple[str, ...]
    paired: bool  # LATERALITY may be L, R or B
    screening: str | None  # first digit of SCREENINGSTATUSFULL_CODE, or None
    receptors: bool  # ER, PR, HER2 may be filled
    gleason: bool
    brachytherapy: bool
    # days after diagnosis within which a treatment counts: surgery, sact, radiotherapy
    windows: Mapping[str, int]
    first_treatment: str  # surgery | sact | radiotherapy
    min_age: int  # years

    @property
    def in_situ(self) -> bool:
        """Whether its only stages are those of a tumour in situ: 0, 0A, 0IS."""
        return bool(self.stages) and all(stage.startswith("0") for stage in self.stages)

    def icdo3_of(self, code4: str) -> str:
        """The ICD-O-3 topography of one of `codes4`."""
        if self.icdo3_code:
            return self.icdo3_code
        return self.icdo3 + (code4[3:] or "9")


@cache
def sites() -> Mapping[str, Site]:
    """Three-character ICD-10 code -> Site."""
    raw = lists.read("sites.yaml")
    return MappingProxyType({code: _site(code, entry, raw) for code, entry in raw["sites"].items()})


def _site(code: str, entry: dict[str, Any], raw: dict[str, Any]) -> Site:
    if entry["group"] not in raw["groups"]:
        raise Refusal(f"datasets/codes/sites.yaml, {code}: unknown group {entry['group']!r}")
    both = {**raw["groups"][entry["group"]], **entry}
    staging = raw["staging"][both.get("staging", "tnm")]
    codes4 = tuple(code + fourth for fourth in entry["fourth"]) or (code,)
    surgery, sact, radiotherapy = both.get("windows", (183, 183, 183))
    return Site(
        code=code,
        name=both["name"],
        group=both["group"],
        sexes=tuple(both.get("sexes", lists.BOTH_SEXES)),
        codes4=codes4,
        icdo3=both.get("icdo3", code),
        icdo3_code=both.get("icdo3_code"),
        morphologies=tuple(both["morphologies"]),
        behaviours=tuple(both.get("behaviours", ("3",))),
        staging=both.get("staging", "tnm"),
        stages=tuple(both.get("stages", staging["stages"])),
        unknown_stages=tuple(raw["staging"]["unknown"]),
        stage_systems=tuple(both.get("systems", staging["systems"])),
        staged_codes4=tuple(staging.get("only_codes4", codes4)) if staging["stages"] else (),
        paired=bool(both.get("paired", False)),
        screening=both.get("screening"),
        receptors=bool(both.get("receptors", False)),
        gleason=bool(both.get("gleason", False)),
        brachytherapy=bool(both.get("brachytherapy", False)),
        windows=MappingProxyType({"surgery": surgery, "sact": sact, "radiotherapy": radiotherapy}),
        first_treatment=both.get("first_treatment", "surgery"),
        min_age=int(both.get("min_age", 0)),
    )
