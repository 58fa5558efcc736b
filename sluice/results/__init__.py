"""The table of results, the join, findings, known answers, the run document."""
