"""Layer 6: evaluation: a graph becomes a key, the key a plan, the plan one native call."""
