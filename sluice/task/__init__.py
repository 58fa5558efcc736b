"""The task file, a module for each of its parts."""
