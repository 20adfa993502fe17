"""The grader of reasoning-gym's tasks."""
