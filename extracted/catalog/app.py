"""The catalog service for an ASGI server: `uvicorn extracted.catalog.app:app`. Needs `DATABASE_URL`."""

from extracted.catalog.routes import router
from extracted.chassis.application import create_service

app = create_service("catalog", router)
