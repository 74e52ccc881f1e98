"""One row per patient: noisy marginals, and an engine that shapes a model from them: a mixture, or
DP-CTGAN's conditional generator with a critic trained by DP-SGD.

`plan` fixes every mechanism from declared numbers, `measure` runs the counts, `fit` shapes the
model from them, `draw` draws rows.
"""
