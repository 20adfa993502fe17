"""Rollouts: problems become scored groups of completions."""
