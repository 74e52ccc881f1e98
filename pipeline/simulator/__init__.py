"""The source simulator: a plausible confidential registry extract with known truth. Its data are public, nobody is behind them."""
