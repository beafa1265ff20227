"""One verb per file. Each acts only through `Run`, is idempotent, and journals before it moves on."""
