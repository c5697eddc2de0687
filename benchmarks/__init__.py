"""Tarry against its peers: named workloads, one pinned process for each library, `python -m benchmarks`."""
