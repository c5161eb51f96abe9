"""Ensembles of trees (seed 003, section 4.2)."""
