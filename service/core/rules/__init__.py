"""What a row may be: fields, batches in every format, and why a row is rejected. No database."""
