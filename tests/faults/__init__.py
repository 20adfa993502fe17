"""The campaign of faults: kills, full disks, lost processes, damage. `python -m tests.faults --help`."""
