"""The HTTP side. Only this package uses Litestar."""
