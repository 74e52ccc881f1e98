"""How sure a reader of an extract can be: estimates of the source and its population from the
charged noisy counts, with intervals that hold the mechanism's noise. Post-processing: no row of a
patient is read.
"""
