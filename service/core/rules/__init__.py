"""The rules for rows: types of fields, batches in each format, errors of rejects. No database."""
