"""Intervals, each kind in one place: means, ratios, sampling alone, seeds of training, many at once."""
