"""Kernel regression (seed 003, section 4.2)."""
