"""Corrections of rejected records: read from the log, by one rule, or from a corrected file."""
