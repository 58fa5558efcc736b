"""Stand-ins that the tests share: S3 in memory, Bedrock in memory, and a loop that drives the real handlers' steps."""
