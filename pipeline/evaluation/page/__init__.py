"""The custodian's restricted report: one page without anything beside it, and its figures."""

from pipeline.evaluation.page.content import FidelityFigure, ReportContent, UtilityFigure
from pipeline.evaluation.page.document import page
from pipeline.evaluation.page.figures import metrics, to_json

__all__ = [
    "FidelityFigure",
    "ReportContent",
    "UtilityFigure",
    "metrics",
    "page",
    "to_json",
]
