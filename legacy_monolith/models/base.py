"""What every model shares: column types under short names."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from sqlalchemy import CHAR, BigInteger, MetaData, Numeric, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, mapped_column

Key = Annotated[int, mapped_column(BigInteger, primary_key=True)]
Big = Annotated[int, mapped_column(BigInteger)]
Money = Annotated[Decimal, mapped_column(Numeric(12, 2))]
LedgerMoney = Annotated[Decimal, mapped_column(Numeric(14, 2), server_default=text("0"))]
Currency = Annotated[str, mapped_column(CHAR(3))]
Moment = Annotated[datetime, mapped_column(TIMESTAMP(timezone=True))]
Stamp = Annotated[datetime, mapped_column(TIMESTAMP(timezone=True), server_default=text("now()"))]
Texts = Annotated[list[str], mapped_column(ARRAY(Text), server_default=text("'{}'"))]
Document = Annotated[dict[str, Any], mapped_column(JSONB, server_default=text("'{}'"))]
Count = Annotated[int, mapped_column(server_default=text("0"))]


class Base(DeclarativeBase):
    """The declarative base of the store."""

    metadata = MetaData(naming_convention={"ix": "%(table_name)s_%(column_0_name)s_idx"})
