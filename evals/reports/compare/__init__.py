"""python -m evals compare: several runs side by side, from their run directories alone."""
