"""What plan, measure, fit and draw hand to each other, as immutable values: nothing here reads a
row, fits or draws.
"""
