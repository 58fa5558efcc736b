"""The steps of a run, one module each: they join what decides to what calls AWS."""
