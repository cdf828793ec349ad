"""Volumes larger than the memory: enhanced and traced block by block, on one machine or many."""
