"""The projection head that makes features geometry-aware. Needs the `train` extra."""
