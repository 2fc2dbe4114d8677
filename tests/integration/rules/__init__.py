"""Rows through the API in every format: stored as they are, or rejected with reasons."""
