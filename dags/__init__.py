"""The DAGs: names and arrows. pipeline/ says how."""
