"""The exporter: foundation models and heads in, verified bundles out. Needs the `export` extra."""
