"""Metrics, progress, alarms and trackers of a run."""
