"""What a run can cost, and is expected to."""
