"""`python -m evals probe model=... base=...`: its arguments, and the measuring of both models."""
