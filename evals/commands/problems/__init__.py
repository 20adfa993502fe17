"""Single problems of a measurement: who solved which, and what was written to one."""
