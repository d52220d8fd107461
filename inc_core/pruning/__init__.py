"""Pruning in numpy: which weights become zero, when, in which pattern, and what came of it."""
