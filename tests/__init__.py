"""The tests: unit, integration, acceptance, chaos and benchmarks."""
