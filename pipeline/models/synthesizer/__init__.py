"""The table model and the pathway model as one artefact: one plan and one joint accounting (plan),
one fit (fit), one model to draw from (model).
"""
