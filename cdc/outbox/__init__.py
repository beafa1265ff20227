"""An outbox table's rows become domain events, with the meaning that Debezium's outbox event router gives them."""
