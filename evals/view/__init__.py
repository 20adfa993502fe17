"""Runs in a browser: as they go, problem by problem, sample by sample. Read-only; needs the extra `view`."""
