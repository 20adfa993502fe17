"""Estimators: pure functions of counts and answers, on numpy and scipy. A count is (n samples, c correct)."""
