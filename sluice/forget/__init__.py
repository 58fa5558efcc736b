"""Forgetting a person's rows: where they lie, what is done about each place, and the protocol of it."""
