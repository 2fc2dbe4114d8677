"""The core: tables, batches, the store and its database. No web framework in here."""
