"""AWS: S3, Bedrock, Step Functions, Service Quotas, EventBridge, metrics. Nothing is decided here."""
