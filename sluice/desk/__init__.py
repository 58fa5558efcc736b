"""The review desk: one page on which a person settles rows of a run, served here or written as a file."""
