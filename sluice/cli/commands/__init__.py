"""The commands and their options. What they do is imported when they are called, so that `--help` stays quick."""
