"""What hirebase does, without a web framework: rules, database, writes, backups, reports."""
