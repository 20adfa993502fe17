"""One run: its parts put together, the training loop, resume, provenance."""
