"""The source simulator: a plausible confidential registry extract with known truth. Its data are
public, nobody is behind them.
"""

from datetime import date

DEFAULT_EXTRACT = date(2022, 12, 31)  # the last day that an extract shows unless told otherwise
