"""Topics that a foreign Debezium connector writes, read as a change log and applied by the stream as it is.

It is the reading half of `ChangeLog`, not a `ChangeSource`: capture has happened, the records lie durably in Kafka, and
to copy them into a log of ours would only store them twice. Nobody appends here but Debezium. What differs from our own
logs is where a stream stands: an offset in every partition, so those are written as rows of
`strangler.topic_position` by the transaction that writes the rows of the tables, and Kafka's own groups are not used.
"""
