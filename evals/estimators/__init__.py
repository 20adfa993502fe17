"""Estimators: pure functions of counts (c of n samples of a problem were right), on numpy and scipy."""
