"""This process: who launched it, and the state that all of its code shares."""
