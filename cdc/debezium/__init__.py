"""Debezium's form of our events, both ways: what a topic carries, and what of it can still be trusted.

`DebeziumEncoder(options, catalog).records(transaction)` writes, `DebeziumDecoder(options, catalog).decode(…)` reads.
All pure but `catalog_reader`.
"""

from cdc.debezium.catalog import PgType, TableShape, TypeCatalog
from cdc.debezium.codec import Loss
from cdc.debezium.decoded import DecodedRecord, DecoderOptions, Doubt, TransactionMark
from cdc.debezium.decoder import DebeziumDecoder
from cdc.debezium.encoder import VERSION, DebeziumEncoder
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.record import DebeziumRecord

__all__ = [
    "VERSION",
    "DebeziumDecoder",
    "DebeziumEncoder",
    "DebeziumOptions",
    "DebeziumRecord",
    "DecodedRecord",
    "DecoderOptions",
    "Doubt",
    "Loss",
    "PgType",
    "TableShape",
    "TransactionMark",
    "TypeCatalog",
]
