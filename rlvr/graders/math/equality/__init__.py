"""Whether two statements say the same: values, sets, intervals, formulas."""
