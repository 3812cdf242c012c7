"""Training code for projection heads; it comes with the geometry-aware recipes."""
