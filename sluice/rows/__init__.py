"""Rows: the containers that they come in, their keys, the paths to their fields."""
