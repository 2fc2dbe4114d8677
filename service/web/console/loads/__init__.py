"""Loads from the console: uploads, the files of a job, and how their rows are written."""
