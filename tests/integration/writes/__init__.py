"""Batches that are written at the same time, and idempotency keys."""
