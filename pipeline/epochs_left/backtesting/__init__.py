"""Finished runs replayed: what would have been predicted at a budget, against what happened."""
