"""Layer 4: from a recorded program to loop nests: simplify, fuse, lower, plan memory."""
