"""Trees that nobody traced, and the stacks that a microscope would make of them."""
