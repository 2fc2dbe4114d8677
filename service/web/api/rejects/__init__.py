"""The routes of the rejects: lists, files to correct, corrections and dismissals."""
