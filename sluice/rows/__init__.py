"""Rows: containers, rows, keys."""
