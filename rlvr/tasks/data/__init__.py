"""Data of the user's own: `task=data task.path=FILE`, or `task=FILE` for short; see docs/own-data.md."""
