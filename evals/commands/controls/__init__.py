"""Commands that sample once more, as controls: the policy as uncertain as its base, the base only sharper."""
