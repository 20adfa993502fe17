"""Estimators: pure functions of counts, on numpy and scipy. A count: c of n samples of a problem were right."""
