"""Episodes: an environment answers between the turns of a policy."""
