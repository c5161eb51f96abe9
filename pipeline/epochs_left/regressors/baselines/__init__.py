"""What every model has to beat."""
