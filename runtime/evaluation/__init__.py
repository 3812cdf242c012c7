"""Evaluation: pairs scored from stored features, by named protocols."""
