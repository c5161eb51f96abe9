"""Neural networks (seed 003, section 4.2)."""
