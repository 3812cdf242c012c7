"""Scripts behind every number in the documents; run as `python -m benchmarks.NAME`."""
