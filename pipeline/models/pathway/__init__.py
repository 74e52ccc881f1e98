"""The pathway model: event logs for synthetic patients, private at patient level (pathway_model.md)."""
from pipeline.models.pathway.model import PathwayModel
from pipeline.models.pathway.plan import PathwayPlan, plan
from pipeline.models.pathway.settings import PathwaySettings, from_mapping
from pipeline.models.pathway.train import fit

__all__ = ["PathwayModel", "PathwayPlan", "PathwaySettings", "fit", "from_mapping", "plan"]
