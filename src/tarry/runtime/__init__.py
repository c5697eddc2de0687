"""Layer 1: memory, threads, plans of native steps, and counters. Never sees a graph."""
