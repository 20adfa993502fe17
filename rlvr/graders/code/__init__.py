"""The grader of programs."""
