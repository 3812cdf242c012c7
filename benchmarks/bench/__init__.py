"""Latency and throughput beside rivals: what `georun bench` measures, reports and compares."""
