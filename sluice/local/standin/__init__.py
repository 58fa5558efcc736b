"""A stand-in for Bedrock batch inference: its API, its rules and its output, with answers that are not Bedrock's.

Every output says so: `modelOutput` carries `"standin": true`. Token counts are bytes divided by four.
"""
