"""Launch files, Slurm scripts and the doctor; run from the root of the checkout."""
