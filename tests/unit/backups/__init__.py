"""Backup files without a database."""
