"""Runs as earlier versions of Sluice left them in S3, one file per format of `sluice.runs.state`."""
