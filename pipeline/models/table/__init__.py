"""One row per patient: noisy marginals shape CTGAN's conditional generator; a critic trained by
DP-SGD, off by default, makes it DP-CTGAN.

`plan` fixes every mechanism from declared numbers, `measure` runs the counts, `fit` shapes the
model from them, `draw` draws rows.
"""
