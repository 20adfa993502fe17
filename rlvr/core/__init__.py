"""What every package stands on: seeds, threads, progress, interrupts, the run directory, checkpoints."""
