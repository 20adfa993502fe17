"""The measuring half: samples, counts, the gap, reports. See ARCHITECTURE.md."""
