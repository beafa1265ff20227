"""Who exists in the shop: known to the seed, and to the clients."""

from typing import Final

EMAIL: Final = "customer{}@shop.example"
STAFF: Final = "staff@shop.example"
PASSWORD: Final = "correct horse battery staple"
VOUCHERS: Final = ("SPRING", "SUMMER", "AUTUMN", "WINTER")
