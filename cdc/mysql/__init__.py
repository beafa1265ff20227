"""Capture from MySQL and MariaDB by their row binlog.

`source.BinlogSource` is the port's implementation. The pure part takes bytes to transactions: `binlog` (events),
`table_map` (a table as the binlog describes it), `values` and `json_binary` (column values → PostgreSQL text forms),
`statements` (which statements matter), `assembly` (whole transactions), `gtid` and `positions`.
"""
