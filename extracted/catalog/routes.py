"""The catalog's endpoints: read the request, one call to the store, show the answer."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from extracted.catalog import compat, compat_answers
from extracted.catalog.domain import Lifecycle, ProductChange
from extracted.catalog.store import CatalogStore


async def _store(request: Request) -> CatalogStore:
    return CatalogStore(request.state.database)


async def _body(request: Request) -> bytes:
    return await request.body()


def _path_id(name: str) -> Callable[[Request], Awaitable[int]]:
    async def read(request: Request) -> int:
        return compat.read_path_id(request.path_params[name])

    return read


def _query(request: Request) -> dict[str, str]:
    """The first value of each parameter."""
    return dict(reversed(request.query_params.multi_items()))


Store = Annotated[CatalogStore, Depends(_store)]
Body = Annotated[bytes, Depends(_body)]
ProductId = Annotated[int, Depends(_path_id("product_id"))]
CategoryId = Annotated[int, Depends(_path_id("category_id"))]
PriceId = Annotated[int, Depends(_path_id("price_id"))]

router = APIRouter(prefix="/api")


@router.get("/products")
async def list_products(request: Request, store: Store) -> Response:
    wanted = compat.read_filter(_query(request))
    return JSONResponse(compat_answers.show_products(await store.products(wanted), wanted.limit))


@router.get("/products/by-sku/{sku}")
async def product_by_sku(sku: str, store: Store) -> Response:
    return JSONResponse(compat_answers.show_product(await store.product_by_sku(compat.read_path_sku(sku))))


@router.get("/products/{product_id}")
async def product(product_id: ProductId, store: Store) -> Response:
    return JSONResponse(compat_answers.show_product(await store.product(product_id)))


@router.post("/products")
async def add_product(body: Body, store: Store) -> Response:
    added = await store.add_product(compat.read_new_product(body))
    return JSONResponse(compat_answers.show_product(added), status_code=201)


@router.patch("/products/{product_id}")
async def change_product(product_id: ProductId, body: Body, store: Store) -> Response:
    changed = await store.change_product(product_id, compat.read_product_change(body))
    return JSONResponse(compat_answers.show_product(changed))


@router.post("/products/{product_id}/retire")
async def retire_product(product_id: ProductId, store: Store) -> Response:
    retired = await store.change_product(product_id, ProductChange(lifecycle=Lifecycle.RETIRED))
    return JSONResponse(compat_answers.show_product(retired))


@router.get("/products/{product_id}/prices")
async def prices(product_id: ProductId, store: Store) -> Response:
    return JSONResponse({"items": [compat_answers.show_price(price) for price in await store.prices(product_id)]})


@router.post("/products/{product_id}/prices")
async def set_price(product_id: ProductId, body: Body, store: Store) -> Response:
    price = await store.set_price(product_id, compat.read_new_price(body))
    return JSONResponse(compat_answers.show_price(price), status_code=201)


@router.delete("/prices/{price_id}")
async def delete_price(price_id: PriceId, store: Store) -> Response:
    await store.delete_price(price_id)
    return Response(status_code=204)


@router.put("/products/{product_id}/categories/{category_id}")
async def assign(product_id: ProductId, category_id: CategoryId, body: Body, store: Store) -> Response:
    assigned = await store.assign(compat.read_assignment(body, product_id, category_id))
    return JSONResponse(compat_answers.show_assignment(assigned))


@router.delete("/products/{product_id}/categories/{category_id}")
async def unassign(product_id: ProductId, category_id: CategoryId, store: Store) -> Response:
    await store.unassign(product_id, category_id)
    return Response(status_code=204)


@router.get("/categories")
async def categories(store: Store) -> Response:
    return JSONResponse({"items": [compat_answers.show_category(category) for category in await store.categories()]})


@router.post("/categories")
async def add_category(body: Body, store: Store) -> Response:
    added = await store.add_category(compat.read_new_category(body))
    return JSONResponse(compat_answers.show_category(added), status_code=201)


@router.get("/categories/{category_id}")
async def category(category_id: CategoryId, store: Store) -> Response:
    return JSONResponse(compat_answers.show_category(await store.category(category_id)))


@router.patch("/categories/{category_id}")
async def change_category(category_id: CategoryId, body: Body, store: Store) -> Response:
    changed = await store.change_category(category_id, compat.read_category_change(body, category_id))
    return JSONResponse(compat_answers.show_category(changed))


@router.get("/categories/{category_id}/products")
async def products_assigned(category_id: CategoryId, request: Request, store: Store) -> Response:
    page = compat.read_page(_query(request))
    found = await store.products_assigned(category_id, page)
    return JSONResponse(compat_answers.show_products(found, page.limit))
