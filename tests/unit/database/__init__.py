"""MYSQL_HOST without a server."""
