"""The routes of a table: lists and their files, batches, single rows and their changes."""
