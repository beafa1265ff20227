"""What a person writes into the generated service before its reads can be compared."""
