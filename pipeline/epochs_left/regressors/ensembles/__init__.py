"""Predictors made of several others."""
