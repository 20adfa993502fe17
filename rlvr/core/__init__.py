"""What every package stands on: seeds, progress, interrupts, the run directory, checkpoints."""
