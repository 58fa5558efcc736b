"""A dry run: what a run is expected to take, a pilot, what is weak about a task."""
