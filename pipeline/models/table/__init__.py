"""DP-CTGAN for one row per patient: noisy marginals shape a conditional generator, a DP-SGD critic may refine it.

`plan` fixes every mechanism from declared numbers, `fit` runs exactly those, `TableModel` draws rows.
"""
from pipeline.models.table.fit import fit
from pipeline.models.table.model import TableModel
from pipeline.models.table.plan import TablePlan, plan
from pipeline.models.table.settings import TableSettings, from_mapping

__all__ = ["TableModel", "TablePlan", "TableSettings", "fit", "from_mapping", "plan"]
