"""The page of a run: its text, its charts, the picture of its flow."""
