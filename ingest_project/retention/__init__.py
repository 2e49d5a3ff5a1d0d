"""Retention: how long the parts, history, rejects and batch rows of ended activations are kept."""
