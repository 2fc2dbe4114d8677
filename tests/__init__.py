"""The tests: unit, integration, acceptance, chaos, clusters and benchmarks."""
