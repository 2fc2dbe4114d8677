"""Rows and fields, without a database."""
