"""Programs that use the HTTP API. Each needs httpx alone, and nothing of hirebase itself."""
