"""Rows into the tables: insert, merge, ingest, idempotency. No HTTP."""
