"""Tarry: lazy arrays, composable transforms and fused native code behind MLX's interface."""

__version__ = "0.1.0"
