"""Requests, replies, and how an answer is judged."""
