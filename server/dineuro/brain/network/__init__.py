"""The network in a run: whether it is used, and what workers do for it."""
