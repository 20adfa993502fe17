"""Estimators: pure functions of counts, on numpy alone. A count is (n samples, c correct) of one problem."""
