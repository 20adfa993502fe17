"""Graders of math answers."""
