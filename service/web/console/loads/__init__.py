"""Loads from the console: uploads, the files of a job, and their way into the tables."""
