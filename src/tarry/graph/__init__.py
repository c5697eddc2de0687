"""Layer 2: nodes, primitives, the user's array handle, walks and text of graphs."""
