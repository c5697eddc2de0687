"""Layer 0: settings, errors, dtypes, shapes, trees. Imports nothing of Tarry."""
