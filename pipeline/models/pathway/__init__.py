"""The pathway model: event logs for synthetic patients, private at patient level
(docs/pathway_model.md).

`domain` is what a pathway is made of, `plan` fixes every mechanism from declared numbers, `fit`
runs exactly those, `draw` draws pathways.
"""
