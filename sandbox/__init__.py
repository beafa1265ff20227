"""Real local parts for the demo, the tests and the benchmarks: PostgreSQL, Envoy, the apps. Loopback only."""
