"""Writes to the tables: insert, merge, ingest, rejects, idempotency. No HTTP."""
