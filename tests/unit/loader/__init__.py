"""Files into records and blocks."""
