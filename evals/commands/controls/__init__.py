"""Controls: the policy as uncertain as its base, the base only sharper, and how good a judge is."""
