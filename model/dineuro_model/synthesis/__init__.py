"""Synthetic neurons, and the stacks that a microscope would record of them."""
