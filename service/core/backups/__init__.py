"""Taking, keeping, verifying and restoring backups; the file format is in `format`."""
