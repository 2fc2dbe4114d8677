"""Access to MySQL: connections, pool, transactions, errors, embedded server, migrations."""
