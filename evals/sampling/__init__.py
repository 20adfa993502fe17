"""Sampling a model: what the store lacks is drawn and graded, then counted."""
