"""The steps of a run, one module each: what is decided is in the pure modules, what is stored is named in `state`."""
