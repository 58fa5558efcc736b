"""What a run keeps: state, settings, planning, accounting, progress, inbox."""
