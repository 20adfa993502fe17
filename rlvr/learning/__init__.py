"""The update: log-probs, the objective, the optimizer step, on one device or many."""
