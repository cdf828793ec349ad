"""Tracing a volume that is larger than the memory: blocks, and what holds for all of them."""
