"""Linear models (seed 003, section 4.1)."""
