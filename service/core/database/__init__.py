"""The connection to MySQL: pool, transactions, error numbers, the embedded server, migrations."""
