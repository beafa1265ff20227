"""The store's tables as SQLAlchemy models, one file per area of the shop. They equal what the migrations make."""

from legacy_monolith.models.accounting import Invoice, LedgerEntry
from legacy_monolith.models.base import Base
from legacy_monolith.models.catalog import Category, Price, Product, ProductCategory
from legacy_monolith.models.customers import Address, Customer, Region, Role, User, UserSession
from legacy_monolith.models.office import AuditEntry, Promotion, Review, Setting
from legacy_monolith.models.orders import Order, OrderLine, Reservation, Stock
from legacy_monolith.models.shipping import PickItem, Shipment

METADATA = Base.metadata

__all__ = [
    "METADATA",
    "Address",
    "AuditEntry",
    "Base",
    "Category",
    "Customer",
    "Invoice",
    "LedgerEntry",
    "Order",
    "OrderLine",
    "PickItem",
    "Price",
    "Product",
    "ProductCategory",
    "Promotion",
    "Region",
    "Reservation",
    "Review",
    "Role",
    "Setting",
    "Shipment",
    "Stock",
    "User",
    "UserSession",
]
