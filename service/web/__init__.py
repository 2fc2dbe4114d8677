"""The HTTP side: Litestar, and nothing the core needs."""
