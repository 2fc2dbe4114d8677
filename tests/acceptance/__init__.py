"""The program as its users run it: processes, commands, a browser, the documentation."""
