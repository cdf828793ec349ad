"""Volumes and their file formats."""
