"""Who may call what: credentials, users, roles, cross-site checks, hidden routes."""
