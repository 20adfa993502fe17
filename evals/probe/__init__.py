"""The probe: a hook that measures the gap after every checkpoint, here or in another trainer."""
