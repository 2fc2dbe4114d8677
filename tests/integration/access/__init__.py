"""Credentials, roles, and requests from other sites."""
