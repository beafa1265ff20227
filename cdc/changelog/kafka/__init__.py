"""The change log over a Kafka cluster.

Topics of one stream, all under its prefix:

| topic | holds |
|---|---|
| `<prefix>.<schema>.<table>` | one record per row change, keyed by primary key, a tombstone after a delete |
| `<prefix>.transaction` | one partition, the commit log: BEGIN and END of every transaction, who appends |
| `<prefix>.message` | logical messages; barriers also stand, as copies, in every partition of every table |
| `<prefix>.relations` | compacted: the columns of every table version that a record was written with |

An END is written only when the brokers have made every row of its transaction durable, and it names their offsets. So
an END is true for ever, whoever wrote it: rows without an END (a producer died) are never read, rows that were sent
again are read once, and readers need no memory of who was allowed to write.
"""
