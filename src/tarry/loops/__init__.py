"""Layer 1: the loop-nest IR as data, its text, parser, verifier, builder and slow interpreter."""
