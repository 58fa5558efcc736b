"""What a run comes to: the table of results and its join, findings, known answers, run.json."""
