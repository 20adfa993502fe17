"""What starts runs: the rlvr command, launch files, Slurm scripts, the study and the doctor."""
