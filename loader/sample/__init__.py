"""Sample CSVs of the real data's shape, and the generator that wrote them."""
