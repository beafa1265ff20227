"""The service's first reads, written by hand against the generated schema: options and categories, as in the shop.

`examples/django_oscar/decide.py` puts this file into the generated package and the names below in the place of the
skeleton's unwritten handlers.
"""

from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from extracted.chassis.database import Database

WRITTEN: Final = {
    "/api/options/": "options",
    "/api/options/{id}/": "option",
    "/api/categories/": "categories",
    "/api/categories/{id}/": "category",
    "/api/categories/clothes/": "clothes",
}
"""Path of a `GET` → the function here that answers it."""

_PAGE: Final = 20
_OPTIONS: Final = """
    SELECT id, code, name, type, required, help_text, "order", count(*) OVER () FROM option
    WHERE %(id)s::int IS NULL OR id = %(id)s ORDER BY "order", name LIMIT %(limit)s OFFSET %(offset)s"""
_CATEGORIES: Final = """
    SELECT c.id, c.name, coalesce(c.code, ''), c.description, c.long_description, c.meta_title, c.meta_description,
        nullif(c.image, ''), c.slug, c.exclude_from_menu, c.is_public, c.ancestors_are_public,
        string_agg(a.name, ' > ' ORDER BY a.depth), string_agg(a.slug, '/' ORDER BY a.depth), count(*) OVER ()
    FROM category c JOIN category a ON left(c.path, length(a.path)) = a.path
    WHERE {which} GROUP BY c.id ORDER BY c.path LIMIT %(limit)s OFFSET %(offset)s"""
_ROOTS: Final = _CATEGORIES.format(which="c.depth = 1")
_ONE: Final = _CATEGORIES.format(which="c.id = %(id)s")
_BELOW: Final = _CATEGORIES.format(
    which="c.depth = 2 AND left(c.path, 4) = (SELECT path FROM category WHERE depth = 1 AND slug = %(slug)s)"
)
_COLUMNS: Final = ("name", "code", "description", "long_description", "meta_title", "meta_description", "image", "slug")
_FLAGS: Final = ("exclude_from_menu", "is_public", "ancestors_are_public")


async def options(request: Request) -> Response:
    return await _page(request, _OPTIONS, {"id": None}, _option)


async def option(request: Request, id: str) -> Response:
    return await _single(request, _OPTIONS, id, "Option", _option)


async def categories(request: Request) -> Response:
    return await _page(request, _ROOTS, {}, _category)


async def category(request: Request, id: str) -> Response:
    return await _single(request, _ONE, id, "Category", _category)


async def clothes(request: Request) -> Response:
    return await _page(request, _BELOW, {"slug": "clothes"}, _category)


def _option(row: tuple[Any, ...], base: str) -> dict[str, Any]:
    # No option of this shop has a group of choices.
    names = ("code", "name", "type", "required", "help_text", "order")
    return {"url": f"{base}api/options/{row[0]}/", **dict(zip(names, row[1:7], strict=True)), "option_group": None}


def _category(row: tuple[Any, ...], base: str) -> dict[str, Any]:
    shown = dict(zip((*_COLUMNS, *_FLAGS), row[1:12], strict=True))
    url, children = f"{base}api/categories/{row[0]}/", f"{base}api/categories/{row[13]}/"
    return {"url": url, "breadcrumbs": row[12], "children": children, **shown}


async def _page(request: Request, statement: str, parameters: dict[str, Any], show: Any) -> Response:
    """One page as Django REST framework numbers them, from 1."""
    database: Database = request.state.database
    asked = request.query_params.get("page", "1")
    page = int(asked) if asked.isdigit() else 0
    rows = await database.fetch_all(statement, parameters | {"limit": _PAGE, "offset": max(page - 1, 0) * _PAGE})
    if page < 1 or (page > 1 and not rows):
        return JSONResponse({"detail": "Invalid page."}, status_code=404)
    count = rows[0][-1] if rows else 0
    base = str(request.base_url)
    here = str(request.url.replace(query=""))
    after = f"{here}?page={page + 1}" if count > page * _PAGE else None
    before = None if page == 1 else here if page == 2 else f"{here}?page={page - 1}"
    return JSONResponse(
        {"count": count, "next": after, "previous": before, "results": [show(row, base) for row in rows]}
    )


async def _single(request: Request, statement: str, id: str, what: str, show: Any) -> Response:
    database: Database = request.state.database
    row = await database.fetch_one(statement, {"id": int(id), "limit": 1, "offset": 0}) if id.isdigit() else None
    if row is None:
        return JSONResponse({"detail": f"No {what} matches the given query."}, status_code=404)
    return JSONResponse(show(row, str(request.base_url)))
