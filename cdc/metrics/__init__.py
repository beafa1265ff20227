"""What a stream did and how far it is behind: counted in the worker, read from both databases, served to Prometheus."""
