"""The pipeline's stages: load, compute, save."""
