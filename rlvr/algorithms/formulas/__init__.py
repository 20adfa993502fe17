"""Pure functions of tensors, each with its paper's equation."""
