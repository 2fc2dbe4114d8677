"""A fourth table for tests: its struct, its statements, its migration and its rows."""
