"""What people do in the shop, in the app (REST API) and in the browser: customers, passers-by, staff."""

from collections.abc import Callable
from typing import Any, Final

from shop.clients import Client
from shop.people import EMAIL, PASSWORD, STAFF, VOUCHERS

_CUSTOMERS = 60
_ADDRESS: Final = {
    "first_name": "Jo",
    "last_name": "Field",
    "line1": "1 River Street",
    "line4": "London",
    "postcode": "N1 9AA",
}


def _as_customer(client: Client) -> str:
    """Who: each client has customers of its own, so that no two are one person at once."""
    own = range(client.number, _CUSTOMERS, 8)
    return EMAIL.format(client.dice.choice(own))


def _api_address(client: Client) -> dict[str, Any]:
    country = f"{client.url}/api/countries/GB/"
    return _ADDRESS | {"country": country, "line1": f"{client.dice.randint(1, 99)} River Street", "title": "Mr"}


# --- the app ---


def browse(client: Client) -> None:
    client.call("GET", "products/?page=1")
    for _ in range(4):
        number = client.product()
        client.call("GET", f"products/{number}/")
        client.call("GET", f"products/{number}/price/")
        client.call("GET", f"products/{number}/availability/")
    for record in (client.call("GET", f"products/{number}/stockrecords/") or [])[:1]:
        client.call("GET", f"products/{number}/stockrecords/{record['id']}/")
    client.call("GET", "categories/")
    client.call("GET", f"categories/{client.dice.randint(1, 12)}/")
    client.call("GET", "categories/clothes/")
    client.call("GET", "countries/")
    client.call("GET", "countries/GB/")
    client.call("GET", "options/")
    client.call("GET", "options/1/")


def fill_basket(client: Client) -> None:
    """Without logging in."""
    basket = client.call("GET", "basket/")
    for _ in range(2):
        _add_to_basket(client)
    lines = client.call("GET", f"baskets/{basket['id']}/lines/") or []
    if lines:
        _line(client, "PATCH", lines[0], {"quantity": 3})
        _line(client, "GET", lines[0])
        _line(client, "DELETE", lines[-1])
    client.call("GET", "basket/shipping-methods/")
    if client.dice.random() < 0.3:
        client.call("DELETE", "login/")


def _add_to_basket(client: Client) -> None:
    product = client.product()
    body: dict[str, Any] = {"url": f"{client.url}/api/products/{product}/", "quantity": client.dice.randint(1, 3)}
    about = client.call("GET", f"products/{product}/") or {}
    if about.get("structure") == "parent" and about.get("children"):
        body["url"] = about["children"][0]["url"]
    if about.get("options"):
        body["options"] = [{"option": about["options"][0]["url"], "value": f"for {client.token}"[:20]}]
    client.call("POST", "basket/add-product/", body)


def _number(thing: dict[str, Any]) -> str:
    return str(thing["url"]).rstrip("/").rpartition("/")[2]


def _line(client: Client, method: str, line: dict[str, Any], body: Any = None) -> None:
    client.call(method, line["url"].partition("/api/")[2], body)


def buy(client: Client) -> None:
    client.log_in(_as_customer(client), PASSWORD)
    basket = client.call("GET", "basket/")
    for _ in range(client.dice.randint(1, 4)):
        _add_to_basket(client)
    if client.dice.random() < 0.5:
        client.call("POST", "basket/add-voucher/", {"vouchercode": client.dice.choice(VOUCHERS)})
    client.call("GET", "basket/shipping-methods/")
    _check_out(client, basket)
    orders = client.call("GET", "orders/") or []
    if orders:
        number = _number(orders[0])
        client.call("GET", f"orders/{number}/")
        for line in (client.call("GET", f"orders/{number}/lines/") or [])[:1]:
            _line(client, "GET", line)
    client.call("DELETE", "login/")


def _check_out(client: Client, basket: dict[str, Any], **more: Any) -> None:
    body = {
        "basket": f"{client.url}/api/baskets/{basket['id']}/",
        "shipping_address": _api_address(client),
        "billing_address": _api_address(client),
        "shipping_method_code": "no-shipping-required",
    }
    client.call("POST", "checkout/", body | more)


def buy_as_guest(client: Client) -> None:
    basket = client.call("GET", "basket/")
    _add_to_basket(client)
    _check_out(client, basket, guest_email=f"guest{client.token}@shop.example")


def keep_addresses(client: Client) -> None:
    client.log_in(_as_customer(client), PASSWORD)
    client.call("GET", "login/")
    made = client.call("POST", "useraddresses/", _api_address(client) | {"line2": client.token})
    client.call("GET", "useraddresses/")
    if made:
        client.call("GET", f"useraddresses/{made['id']}/")
        client.call("PUT", f"useraddresses/{made['id']}/", _api_address(client) | {"line2": f"at {client.token}"})
        client.call("DELETE", f"useraddresses/{made['id']}/")
    client.call("DELETE", "login/")


def register(client: Client) -> None:
    body = {"email": f"new{client.token}@shop.example", "password1": PASSWORD, "password2": PASSWORD}
    client.call("POST", "register/", body)


def manage_goods(client: Client) -> None:
    """Staff, by the admin API."""
    client.log_in(STAFF, PASSWORD)
    number = client.product()
    client.call("GET", "admin/products/?page=1")
    client.call("GET", f"admin/products/{number}/")
    client.call("PATCH", f"admin/products/{number}/", {"description": f"Told anew in {client.token}."})
    made = client.call("POST", "admin/products/", _new_product(client))
    if made:
        client.call("PATCH", f"admin/products/{_number(made)}/", {"title": f"Named anew {client.token}"})
        if client.dice.random() < 0.7:
            client.call("DELETE", f"admin/products/{_number(made)}/")
    client.call("GET", "admin/productclasses/")
    client.call("GET", "admin/productclasses/book/")
    client.call("GET", "admin/productattributes/")
    client.call("GET", "admin/productattributes/1/")
    client.call("GET", "admin/attributeoptiongroups/")
    client.call("GET", "admin/categories/")
    made = client.call("POST", "admin/categories/", {"name": f"Shelf {client.token}"})
    if made:
        client.call("PATCH", f"admin/categories/{_number(made)}/", {"description": "a shelf"})
        client.call("DELETE", f"admin/categories/{_number(made)}/")


def _new_product(client: Client) -> dict[str, Any]:
    stock = {"partner": f"{client.url}/api/admin/partners/{client.dice.randint(1, 4)}/", "price": "12.50"}
    stock |= {"partner_sku": f"new-{client.token}", "num_in_stock": 40, "price_currency": "GBP"}
    return {
        "title": f"New {client.token}",
        "slug": f"new-{client.token}",
        "upc": f"7{client.token}",
        "product_class": "book",
        "structure": "standalone",
        "categories": [],
        "attributes": [{"code": "pages", "name": "Pages", "value": 120}],
        "stockrecords": [stock],
    }


def manage_stock(client: Client) -> None:
    client.log_in(STAFF, PASSWORD)
    client.call("GET", "admin/partners/")
    partner = client.dice.randint(1, 4)
    client.call("GET", f"admin/partners/{partner}/")
    for _ in range(3):
        record = client.product()
        seen = client.call("GET", f"admin/stockrecords/{record}/")
        if seen:
            client.call("PATCH", f"admin/stockrecords/{record}/", {"num_in_stock": 5000 + client.dice.randrange(5000)})
            client.call("PATCH", f"admin/stockrecords/{record}/", {"price": f"{client.dice.randint(3, 99)}.90"})


def look_after_orders(client: Client) -> None:
    client.log_in(STAFF, PASSWORD)
    for order in (client.call("GET", "admin/orders/") or [])[:2]:
        number = _number(order)
        client.call("GET", f"admin/orders/{number}/")
        client.call("GET", f"admin/orders/{number}/lines/")
    client.call("GET", "admin/users/?page=1")
    client.call("GET", "admin/users/2/")


# --- the browser ---


def look_around(client: Client) -> None:
    if client.dice.random() < 0.5:
        _log_in(client)
    client.open("/")
    for _ in range(2):
        client.open(f"/catalogue/any_{client.product()}/")
    client.open(f"/catalogue/category/clothes_{client.dice.randint(1, 8)}/")
    client.open(f"/search/?q={client.dice.choice(('stone', 'river', 'red', 'coffee'))}")
    client.open("/offers/")
    if (offer := client.link("/offers/")) is not None:
        client.open(offer)
    client.open("/catalogue/ranges/some/")
    client.open("/about/")


def review(client: Client) -> None:
    _log_in(client)
    product = client.product()
    client.open(f"/catalogue/any_{product}/reviews/")
    if (one := client.link("/reviews/")) is not None and one.rstrip("/")[-1].isdigit() and client.open(one):
        client.submit("", {"delta": "1"})
    if client.open(f"/catalogue/any_{product}/reviews/add/"):
        score = client.dice.randint(1, 5)
        client.submit("#addreview", {"title": f"By {client.token}", "score": score, "body": "As it should be. " * 3})


def wish(client: Client) -> None:
    _log_in(client)
    client.open("/accounts/wishlists/")
    client.open(f"/accounts/wishlists/create/with-product/{client.product()}/")
    client.submit("", {"name": f"For {client.token}", "visibility": "Public"})
    client.open("/accounts/wishlists/")
    if (found := client.link("/delete/")) is None:
        return
    key = found.split("/wishlists/")[1].split("/")[0]
    client.open(f"/accounts/wishlists/{key}/add/{client.product()}/")
    client.open(f"/accounts/wishlists/{key}/")
    if client.link("/delete/") and client.open(f"/accounts/wishlists/{key}/update/"):
        client.submit("", {"name": f"Still for {client.token}"})
    if (line := client.link("/lines/")) is not None and "delete" in line and client.open(line):
        client.submit("", {})
    if client.dice.random() < 0.4 and client.open(f"/accounts/wishlists/{key}/delete/"):
        client.submit("", {})


def see_account(client: Client) -> None:
    _log_in(client)
    client.open("/accounts/profile/")
    client.open("/accounts/profile/edit/")
    client.submit("", {"first_name": client.dice.choice(("Jo", "Sam", "Kim"))})
    client.open("/accounts/orders/")
    if (order := client.link("/accounts/orders/1")) is not None:
        client.open(order)
    client.open("/accounts/emails/")
    if (email := client.link("/accounts/emails/")) is not None:
        client.open(email)
    client.open("/accounts/addresses/")
    client.open("/accounts/addresses/add/")
    client.submit("", _ADDRESS | {"country": "GB", "line2": f"web {client.token}"})
    client.open("/accounts/notifications/inbox/")
    if (one := client.link("/accounts/notifications/")) is not None:
        client.open(one)
    client.open("/accounts/alerts/")
    client.open("/accounts/logout/")


def buy_in_browser(client: Client) -> None:
    _log_in(client)
    client.open(f"/catalogue/any_{client.product()}/")
    if client.submit("/basket/add/", {"quantity": 1}) is None:
        return
    client.open("/basket/")
    client.submit("/basket/vouchers/add/", {"code": client.dice.choice(VOUCHERS)})
    client.open("/checkout/shipping-address/")
    client.submit("", _ADDRESS | {"country": "GB", "line2": f"order {client.token}"})
    client.open("/checkout/shipping-method/")
    client.submit("", {})
    client.open("/checkout/preview/")
    client.submit("/checkout/preview/", {})
    client.open("/checkout/thank-you/")


def alert_me(client: Client) -> None:
    _log_in(client)
    if client.open(f"/catalogue/any_{client.product()}/"):
        client.submit("/accounts/alerts/create/", {})


def _log_in(client: Client, email: str | None = None) -> None:
    client.open("/accounts/login/")
    who = email or _as_customer(client)
    client.submit("login", {"login-username": who, "login-password": PASSWORD}, press="login_submit=Log In")


# --- staff in the browser ---


def run_the_shop(client: Client) -> None:
    _log_in(client, STAFF)
    client.open("/dashboard/")
    client.open("/dashboard/orders/")
    order = client.link("/dashboard/orders/1")
    if order is not None and client.open(order):
        client.submit("", {"message": f"Noted by {client.token}"}, press="order_action=save_note")
        for action, fields in (
            ("line_action=create_shipping_event", {"shipping_event_type": "done"}),
            ("line_action=create_payment_event", {"payment_event_type": "done", "amount": ""}),
            ("order_action=change_order_status", {"new_status": "Being processed"}),
        ):
            client.open(order)
            if "status" not in action or _offers_choice(client, "Being processed"):
                client.submit("", fields, press=action)
    client.open("/dashboard/users/")
    if (user := client.link("/dashboard/users/1")) is not None:
        client.open(user)
    client.open("/dashboard/reports/")
    client.open("/dashboard/users/alerts/")
    client.open("/dashboard/reviews/")
    one = client.link("/dashboard/reviews/")
    if one is not None and one.rstrip("/")[-1].isdigit() and client.open(one):
        client.submit("", {"status": 1})
    client.open("/dashboard/comms/")
    if (letter := client.link("/dashboard/comms/R")) is not None and client.open(letter):
        client.submit("", {"email_subject_template": "Welcome"}, press="_=save")


def _offers_choice(client: Client, value: str) -> bool:
    return client.web.page.find("option", attrs={"value": value}) is not None


def run_the_catalogue(client: Client) -> None:
    _log_in(client, STAFF)
    client.open("/dashboard/catalogue/")
    product = client.product()
    if client.open(f"/dashboard/catalogue/products/{product}/"):
        client.submit("", {"description": f"Written again in {client.token}"}, press="action=save")
    client.open("/dashboard/catalogue/stock-alerts/")
    client.open("/dashboard/catalogue/categories/")
    client.open("/dashboard/catalogue/product-types/")
    client.open("/dashboard/catalogue/option/")
    client.open("/dashboard/catalogue/attribute-option-group/")
    client.open("/dashboard/partners/")
    client.open(f"/dashboard/partners/{client.dice.randint(1, 4)}/")
    client.submit("", {"line1": f"{client.dice.randint(1, 99)} Dock"})
    client.open("/dashboard/partners/create/")
    if client.submit("", {"name": f"Partner {client.token}"}) and client.dice.random() < 0.7:
        client.open("/dashboard/partners/")
        if (partner := client.link("/delete/", newest=True)) is not None and client.open(partner):
            client.submit("", {})


def run_the_offers(client: Client) -> None:
    _log_in(client, STAFF)
    client.open("/dashboard/offers/")
    client.open("/dashboard/offers/1/")
    client.open("/dashboard/ranges/")
    client.open("/dashboard/ranges/create/")
    client.submit("", {"name": f"Range {client.token}"})
    client.open("/dashboard/ranges/")
    edited = client.link("/products/", newest=True)
    if edited is not None and client.open(edited):
        client.submit("", {"query": f"9{client.product():011d}"}, press="action=add_products")
    if (
        client.dice.random() < 0.6
        and client.open("/dashboard/ranges/")
        and (old := client.link("/delete/", newest=True))
    ):
        client.open(old)
        client.submit("", {})
    client.open("/dashboard/vouchers/")
    if (voucher := client.link("/dashboard/vouchers/stats/")) is not None:
        client.open(voucher)
    client.open("/dashboard/vouchers/create/")
    client.submit("", _voucher(client))
    client.open("/dashboard/vouchers/sets/")
    client.open("/dashboard/offers/new/metadata/")
    client.submit("", {"name": f"Offer {client.token}", "offer_type": "Site", "max_basket_applications": 1})
    client.submit("", {"range": 2, "type": "Percentage", "value": 7})
    client.submit("", {"range": 2, "type": "Count", "value": 3})
    client.submit("", {})
    client.open("/dashboard/offers/")
    if (old := client.link("/delete/", newest=True)) is not None and client.dice.random() < 0.5:
        client.open(old)
        client.submit("", {})


def _voucher(client: Client) -> dict[str, Any]:
    return {
        "name": f"Voucher {client.token}",
        "code": f"V{client.token}".upper(),
        "start_datetime": "2020-01-01 00:00:00",
        "end_datetime": "2099-01-01 00:00:00",
        "usage": "Multi-use",
        "offers": "2",
    }


def run_shipping_and_pages(client: Client) -> None:
    _log_in(client, STAFF)
    client.open("/dashboard/shipping/weight-based/")
    if client.open("/dashboard/shipping/weight-based/1/"):
        client.submit("", {"upper_limit": client.dice.randint(30, 3000), "charge": 9})
    client.open("/dashboard/shipping/weight-based/create/")
    client.submit("", {"name": f"Way {client.token}", "description": "a way", "default_weight": 1, "countries": "GB"})
    client.open("/dashboard/pages/")
    client.open("/dashboard/pages/create/")
    client.submit("", {"title": f"Page {client.token}", "url": f"/page-{client.token}/", "content": "told"})
    client.open(f"/page-{client.token}/")
    client.open("/dashboard/pages/")
    if (page := client.link("/dashboard/pages/update/")) is not None and client.open(page):
        client.submit("", {"content": f"told again {client.token}"})


def administrate(client: Client) -> None:
    """Django's own pages for administrators."""
    _log_in(client, STAFF)
    client.open("/admin/")
    client.open("/admin/auth/group/add/")
    client.submit("", {"name": f"Group {client.token}"})
    client.open("/admin/auth/group/")
    client.open("/admin/sites/site/1/change/")
    client.submit("", {"name": f"shop {client.dice.randint(1, 9)}"})


ERRANDS: Final[list[Callable[[Client], None]]] = [
    *[browse] * 4,
    *[look_around] * 2,
    *[fill_basket] * 2,
    *[buy] * 3,
    buy_as_guest,
    *[buy_in_browser] * 2,
    keep_addresses,
    register,
    manage_goods,
    *[manage_stock] * 2,
    look_after_orders,
    review,
    *[wish] * 2,
    see_account,
    alert_me,
    run_the_shop,
    run_the_catalogue,
    run_the_offers,
    run_shipping_and_pages,
    administrate,
]
