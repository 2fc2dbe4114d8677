"""Commands for operators: users and doctor."""
