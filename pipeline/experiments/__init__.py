"""What synthetic rows are good for beyond a copy, measured on public tables: balancing a minority,
and replacing real rows (docs/experiments.md). Public and simulated data only.
"""
