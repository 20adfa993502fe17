"""python -m evals NAME: one module a command, each with a `main` that returns the exit status."""
