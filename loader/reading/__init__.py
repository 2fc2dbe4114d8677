"""From files to records: sources, layouts, blocks. No database."""
