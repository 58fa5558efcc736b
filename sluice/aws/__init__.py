"""AWS: the only rooms that know boto3."""
