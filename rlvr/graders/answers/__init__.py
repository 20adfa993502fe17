"""Verifiers by name for data of the user's own: exact, choice, number, regex, json_schema."""
