"""Backup files: Avro containers, codecs, schemas, ZIP, checksums. No database, no HTTP."""
