"""How a source table's rows become target rows, and back."""
