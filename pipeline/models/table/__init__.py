"""DP-CTGAN for one row per patient: noisy marginals shape a conditional generator, a DP-SGD critic
may refine it.

`plan` fixes every mechanism from declared numbers, `measure` runs the counts, `fit` shapes the
model from them, `draw` draws rows.
"""
