"""Enhancers that need no trained network."""
