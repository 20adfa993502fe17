"""Before a run: the recipe is read, checked, explained and costed."""
