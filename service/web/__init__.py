"""The HTTP side: Litestar lives here and nowhere else."""
