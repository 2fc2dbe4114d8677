"""The command doctor: everything that an operator would check by hand. It changes nothing."""
