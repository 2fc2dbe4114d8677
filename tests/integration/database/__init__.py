"""Pool, transactions, migrations and settings of the connection."""
