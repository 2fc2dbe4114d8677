"""Corrections of rejected records: by one rule or from a file; and how rejects are closed."""
