"""Backups and restores against a real database."""
