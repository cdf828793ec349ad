"""Faults of a stack that an enhancer would take for neurites: found, and mended before it runs."""
