"""The configuration of a run: its schema, the registry of named builders, its mistakes."""
