"""The names of code lists in the Simulacrum's own workbook, `all_z_lookup_tables.xlsx` of release
2.1.0 (Health Data Insight CiC, CC BY 4.0), so that code which reads a sheet by its name finds it.
"""

from collections.abc import Mapping
from types import MappingProxyType

# our list -> its sheet, where the two are not called alike
_SHEETS: Mapping[str, str] = MappingProxyType(
    {
        "deathlocation": "z_deathlocationcode",
        "careplan_intent": "z_cancercareplanintent",
        "comorbidity": "z_comorbidities",
        "performance_status": "z_performancestatus",
        "regimen_intent": "z_intent_of_treatment",
        "cycle_performance_status": "z_perf_status_start_of_cycle",
        "regimen_outcome": "z_regimen_outcome_summary",
        "rt_beam_type": "z_radiotherapybeamtype",
        "rt_intent": "z_radiotherapyintent",
        "rt_priority": "z_radiotherapypriority",
        "rt_modality": "z_rttreatmentmodality",
        "rt_region": "z_treatmentregion",
    }
)


def sheet(name: str) -> str:
    """The sheet of one of our lists: the official name, or one of that kind."""
    return _SHEETS.get(name, f"z_{name}")
