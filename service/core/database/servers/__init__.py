"""The servers of MYSQL_HOST: their addresses, which one is used, and whether it takes writes."""
