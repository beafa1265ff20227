"""Python code, read and never run."""

from pathlib import Path

import legacy_monolith
from migration_plans.gather.code_scan import scan_code
from migration_plans.gather.sql import SqlReader, catalog_of


def scanned(folder, files, catalog=None):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return scan_code(folder, reader=SqlReader(catalog=catalog))


def spelled(scan):
    return {
        one.name: " ".join(f"{access.table}:{access.mode}" for access in one.accesses) for one in scan.functionalities
    }


def test_the_reference_store():
    scan = scan_code(Path(legacy_monolith.__file__).parent, reader=SqlReader())
    told = spelled(scan)
    assert len(told) == 50
    asks = "sessions:R users:R"
    assert told["POST /api/orders"] == (
        f"{asks} customers:R product:R price:R orders:R stock:R stock:W orders:W order_lines:W reservations:W "
        "invoices:W ledger_entries:W audit_log:W order_lines:R invoices:R"
    )
    assert told["POST /api/orders/{order_id}/pick"] == (
        f"{asks} orders:R customers:R orders:W shipments:W order_lines:R pick_items:W audit_log:W"
    )
    assert told["PATCH /api/customers/{customer_id}"] == f"customers:R customers:W {asks} audit_log:W"
    assert told["POST /api/products"] == "product:W product_category:R price:R"
    assert told["GET /api/customers/{customer_id}/available-credit"] == "customers:R orders:R"
    where = {one.name: one.where for one in scan.functionalities}
    assert where["POST /api/orders"].startswith("legacy_monolith/orders.py:")
    assert scan.not_understood == ()


DJANGO = {
    "shop/__init__.py": "",
    "shop/orders/__init__.py": "",
    "shop/orders/models.py": """
from django.db import models

class Stamped(models.Model):
    at = models.DateTimeField()
    class Meta:
        abstract = True

class Customer(models.Model):
    name = models.TextField()
    class Meta:
        db_table = "people"

class Order(Stamped):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)

class Line(models.Model):
    order = models.ForeignKey("Order", related_name="lines", on_delete=models.CASCADE)
    product = models.ForeignKey("catalog.Product", on_delete=models.PROTECT)
""",
    "shop/catalog/__init__.py": "",
    "shop/catalog/models.py": """
from django.db import models

class Product(models.Model):
    name = models.TextField()
""",
    "shop/orders/views.py": """
from django.views.generic import ListView, CreateView
from django.db import connection
from shop.orders.models import Order, Line, Customer
from shop.orders import services

def show(request, pk):
    order = Order.objects.select_related("customer").get(pk=pk)
    return [line.product for line in order.lines.all()]

@require_POST
def place(request):
    return services.place(request.user)

def report(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM people p JOIN orders_order o ON o.customer_id = p.id WHERE o.at > %s", [1])

class Lines(ListView):
    model = Line

class NewCustomer(CreateView):
    model = Customer
""",
    "shop/orders/services.py": """
from .models import Order, Line
from shop.catalog.models import Product

def place(user):
    product = Product.objects.select_for_update().get(pk=1)
    order = Order(customer=user)
    order.save()
    Line.objects.create(order=order, product=product)
    product.name = "x"
    product.save()
    Order.objects.filter(pk=2).delete()
""",
    "shop/orders/urls.py": """
from django.urls import path, re_path
from . import views
urlpatterns = [
    path("<int:pk>/", views.show),
    path("place/", views.place),
    re_path(r"^report/(?P<year>[0-9]{4})/$", views.report),
    path("lines/", views.Lines.as_view()),
    path("customers/", views.NewCustomer.as_view()),
]
""",
    "shop/urls.py": """
from django.urls import include, path
urlpatterns = [path("api/", include("shop.orders.urls"))]
""",
    "shop/orders/migrations/0001.py": "raise SystemExit",
}


def test_django(tmp_path):
    scan = scanned(tmp_path, DJANGO)
    told = spelled(scan)
    assert told["GET /api/{pk}/"] == "orders_order:R people:R orders_line:R catalog_product:R"
    assert told["POST /api/place/"] == "catalog_product:R orders_order:W orders_line:W catalog_product:W"
    assert "GET /api/place/" not in told
    assert told["GET /api/report/{year}/"] == "people:R orders_order:R"
    assert told["GET /api/lines/"] == "orders_line:R"
    assert told["POST /api/customers/"] == "people:R people:W"
    assert told["GET /api/customers/"] == "people:R"
    (report,) = (one for one in scan.functionalities if "report" in one.name)
    assert report.joins == (("orders_order", "people"),)


def test_fastapi_routers_tasks_and_methods(tmp_path):
    scan = scanned(
        tmp_path,
        {
            "app.py": "from api import router\napp.include_router(router, prefix='/v1')\n",
            "api.py": """
from fastapi import APIRouter
router = APIRouter(prefix="/things")

class Repository:
    def find(self):
        return self._run("SELECT * FROM things WHERE a = %(a)s AND b LIKE 'x%%'")
    def _run(self, sql):
        return None

@router.get("/{thing_id}")
async def show(thing_id: int):
    return Repository().find()

@celery.task
def nightly():
    db.execute(f"DELETE FROM {TABLE} WHERE x IN (SELECT y FROM stale)")
    db.execute("INSERT INTO archive SELECT * FROM things")
""",
        },
    )
    told = spelled(scan)
    assert told["GET /v1/things/{thing_id}"] == "things:R"
    assert told["job nightly"].endswith("things:R archive:W")


def test_rest_framework_views_that_are_loaded_by_name(tmp_path):
    scan = scanned(
        tmp_path,
        {
            "shop/__init__.py": "",
            "shop/urls.py": """
(ItemList, ItemDetail) = get_api_classes("views", ["ItemList", "ItemDetail"])
urlpatterns = [path("items/", ItemList.as_view()), path("items/<int:pk>/", ItemDetail.as_view())]
""",
            "shop/views.py": """
Item = get_model("stock", "Item")

class ItemList(generics.ListCreateAPIView):
    serializer_class = ItemSerializer

class ItemDetail(generics.RetrieveUpdateDestroyAPIView):
    queryset = Item.objects.all()
""",
            "shop/serializers.py": "class ItemSerializer(ModelSerializer):\n    class Meta:\n        model = Item\n",
            "shop/stock/__init__.py": "",
            "shop/stock/abstract_models.py": """
class AbstractItem(models.Model):
    name = models.TextField()
    class Meta:
        abstract = True
""",
            "shop/stock/models.py": """
from shop.stock.abstract_models import AbstractItem
if not is_model_registered("stock", "Item"):
    class Item(AbstractItem):
        pass
""",
        },
    )
    assert spelled(scan) == {
        "GET /items/": "stock_item:R",
        "POST /items/": "stock_item:R stock_item:W",
        "GET /items/{pk}/": "stock_item:R",
        "PUT /items/{pk}/": "stock_item:R stock_item:W",
        "PATCH /items/{pk}/": "stock_item:R stock_item:W",
        "DELETE /items/{pk}/": "stock_item:R stock_item:W",
    }


def test_methods_by_annotation_and_constants_of_other_files(tmp_path):
    scan = scanned(
        tmp_path,
        {
            "app/__init__.py": "",
            "app/routes.py": """
from typing import Annotated
from app.store import Store
Stored = Annotated[Store, Depends(make)]

@router.get("/a")
async def a(store: Stored):
    return await store.one()

@router.put("/b")
async def b(store: Store):
    store.inherited()
""",
            "app/store.py": """
from app import statements
from app.statements import CHANGE

class Base:
    def inherited(self):
        self.run(CHANGE)

class Store(Base):
    def one(self):
        return self.run(statements.BY_ID)
""",
            "app/statements.py": "BY_ID = 'SELECT * FROM a'\nCHANGE = text('UPDATE b SET x = 1')\n",
        },
    )
    assert spelled(scan) == {"GET /a": "a:R", "PUT /b": "b:W"}


def test_updates_and_deletes_of_a_query_are_writes(tmp_path):
    files = {
        "app.py": """
from fastapi import FastAPI, Depends
from sqlalchemy.orm import DeclarativeBase

app = FastAPI()

class Base(DeclarativeBase):
    pass

class Artist(Base):
    __tablename__ = "artist"

class Album(Base):
    __tablename__ = "album"

@app.put("/artists/{id}")
def rename(id: int, db=Depends()):
    db.query(Artist).filter(Artist.id == id).update({"name": "x"})

@app.delete("/artists/{id}")
def remove(id: int, db=Depends()):
    db.session.query(Album).filter(Album.artist_id.in_(db.query(Artist.id))).delete(synchronize_session=False)

@app.get("/artists/{id}")
def show(id: int, db=Depends()):
    return db.query(Artist).filter_by(id=id).first()
""",
    }
    assert spelled(scanned(tmp_path, files)) == {
        "PUT /artists/{id}": "artist:W",
        "DELETE /artists/{id}": "artist:R album:W",
        "GET /artists/{id}": "artist:R",
    }


def test_prose_is_no_sql(tmp_path):
    scan = scanned(
        tmp_path,
        {"a.py": "def f():\n    log('Select a file')\n    log('With this, update all')\n    log('Update the docs')\n"},
    )
    assert scan.functionalities == scan.not_understood == ()


def test_tables_that_the_schema_has_not_are_left_out(tmp_path):
    files = {"a.py": "def f():\n    run('SELECT 1 FROM a JOIN nowhere USING (id)')\n    return 'Update the docs'\n"}
    assert spelled(scanned(tmp_path, files, catalog_of({"a": ["id"]}))) == {"a.f": "a:R"}


def test_nothing_is_run_and_what_does_not_parse_is_reported(tmp_path):
    scan = scanned(
        tmp_path,
        {
            "broken.py": "def f(:\n",
            "loop.py": "from loop import f\ndef f():\n    return g()\ndef g():\n    f()\n    run('SELECT 1 FROM a')\n",
            "evil.py": "import os\nos.abort()\nraise SystemExit\n",
            "binary.py": "x = '\\0'\n\0",
            "empty.py": "",
            "deep.py": "x = " + "(" * 150 + "1" + ")" * 150,
        },
    )
    assert {file for file, _ in scan.not_understood} >= {"broken.py", "binary.py"}
    assert spelled(scan) == {}


def test_cycles_of_calls_end(tmp_path):
    files = {
        "a.py": "@app.get('/x')\ndef f():\n    return g()\ndef g():\n    f()\n    run('SELECT 1 FROM a')\n",
    }
    assert spelled(scanned(tmp_path, files)) == {"GET /x": "a:R"}
