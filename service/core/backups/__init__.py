"""Backups: Avro files and archives of them, written, verified and restored."""
