"""`python -m shop.seed [--seed N] [--products N] [--customers N]`: goods, partners, offers, people. Through the ORM."""

# ruff: noqa: E402 (Django has to be set up before its models are imported)

import argparse
import os
import random
from datetime import timedelta
from decimal import Decimal

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

import django

django.setup()

from django.contrib.auth import get_user_model
from django.contrib.flatpages.models import FlatPage
from django.contrib.sites.models import Site
from django.db import transaction
from django.utils import timezone
from oscar.apps.catalogue.categories import create_from_breadcrumbs
from oscar.core.loading import get_model
from shop.people import EMAIL, PASSWORD, STAFF, VOUCHERS

_KINDS = {
    "Book": ("pages", "integer", ["Fiction > Crime", "Fiction > Poetry", "Science > Physics"]),
    "Shirt": ("fabric", "option", ["Clothes > Men", "Clothes > Women", "Clothes > Children"]),
    "Tool": ("weight", "float", ["Garden > Hand tools", "Workshop > Hand tools", "Workshop > Machines"]),
    "Coffee": ("origin", "text", ["Food > Coffee", "Food > Gifts"]),
}
_COUNTRIES = (("GB", "United Kingdom"), ("NL", "Netherlands"), ("DE", "Germany"), ("FR", "France"))
_PARTNERS = ("Northern Goods", "Harbour Trading", "Old Mill", "Parcel House")
_ADJECTIVES = ("Quiet", "Red", "Plain", "Northern", "Old", "Bright", "Heavy", "Small", "Double", "Winter")
_NOUNS = ("Harbour", "Stone", "Lantern", "River", "Orchard", "Anvil", "Window", "Compass", "Field", "Kettle")


def main() -> None:
    """Everything in one transaction."""
    parser = argparse.ArgumentParser(prog="python -m shop.seed", description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--customers", type=int, default=60)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with transaction.atomic():
        countries = _countries()
        _people(options.customers, countries, dice)
        partners = _partners(countries)
        products = _products(options.products, partners, dice)
        _offers(products)
        _shipping(countries)
        _pages()


def _countries() -> list:
    model = get_model("address", "Country")
    made = [
        model(iso_3166_1_a2=code, printable_name=name, name=name, is_shipping_country=True) for code, name in _COUNTRIES
    ]
    return model.objects.bulk_create(made)


def _people(customers: int, countries: list, dice: random.Random) -> None:
    users = get_user_model().objects
    users.create_superuser(username=STAFF.partition("@")[0], email=STAFF, password=PASSWORD)
    address = get_model("address", "UserAddress")
    for number in range(customers):
        user = users.create_user(username=f"customer{number}", email=EMAIL.format(number), password=PASSWORD)
        user.first_name, user.last_name = dice.choice(_ADJECTIVES), dice.choice(_NOUNS)
        user.save()
        for place in range(dice.randint(0, 2)):
            address(
                user=user,
                first_name=user.first_name,
                last_name=user.last_name,
                line1=f"{dice.randint(1, 99)} {dice.choice(_NOUNS)} Street",
                line4=dice.choice(_NOUNS),
                postcode=f"N{place} 9{dice.choice('ABDEFGHJ')}{dice.choice('ABDEFGHJ')}",
                country=countries[0],
            ).save()
    get_model("communication", "CommunicationEventType").objects.create(
        code="REGISTRATION", name="Registration", category="User related", email_subject_template="Welcome"
    )


def _partners(countries: list) -> list:
    model, address = get_model("partner", "Partner"), get_model("partner", "PartnerAddress")
    partners = [model.objects.create(name=name, code=name.lower().replace(" ", "-")) for name in _PARTNERS]
    for number, partner in enumerate(partners):
        address.objects.create(
            partner=partner, line1=f"{number} Dock", line4="Port", postcode="NX1 9AA", country=countries[0]
        )
    return partners


def _products(count: int, partners: list, dice: random.Random) -> list:
    kind_of = {name: _product_class(name, attribute, form) for name, (attribute, form, _) in _KINDS.items()}
    categories = {place: create_from_breadcrumbs(place) for _, _, places in _KINDS.values() for place in places}
    model = get_model("catalogue", "Product")
    products = []
    for number in range(count):
        name = dice.choice(list(_KINDS))
        attribute, form, places = _KINDS[name]
        product = model(
            product_class=kind_of[name],
            title=f"{dice.choice(_ADJECTIVES)} {dice.choice(_NOUNS)} {name}",
            description=f"A {name.lower()}, number {number}. " * dice.randint(1, 6),
            upc=f"9{number:011d}",
            structure="parent" if name == "Shirt" and number % 3 == 0 else "standalone",
        )
        setattr(product.attr, attribute, _value(form, kind_of[name], attribute, dice))
        product.save()
        for place in dice.sample(places, dice.randint(1, 2)):
            get_model("catalogue", "ProductCategory").objects.create(product=product, category=categories[place])
        sold = [product]
        if product.structure == "parent":
            sold = [
                model.objects.create(parent=product, structure="child", title=size, upc=f"8{number:09d}{size}")
                for size in ("S", "M", "L")
            ]
        products += sold
        if len(products) > 20 and number % 5 == 0:
            get_model("catalogue", "ProductRecommendation").objects.create(
                primary=product, recommendation=products[dice.randrange(10)], ranking=dice.randint(1, 9)
            )
        if number % 40 == 39:
            continue  # nobody has it: customers ask to be told when somebody does
        for each in sold:
            for partner in dice.sample(partners, dice.randint(1, 2)):
                _stock(each, partner, dice)
    return products


def _product_class(name: str, attribute: str, form: str) -> object:
    made = get_model("catalogue", "ProductClass").objects.create(name=name, track_stock=True)
    group = None
    if form == "option":
        group = get_model("catalogue", "AttributeOptionGroup").objects.create(name=attribute.title(), code=attribute)
        for word in ("cotton", "wool", "linen"):
            group.options.create(option=word)
    made.attributes.create(name=attribute.title(), code=attribute, type=form, option_group=group)
    if name == "Shirt":
        made.options.add(
            get_model("catalogue", "Option").objects.create(name="Engraving", code="engraving", type="text")
        )
    return made


def _value(form: str, product_class: object, attribute: str, dice: random.Random) -> object:
    if form == "integer":
        return dice.randint(80, 900)
    if form == "float":
        return round(dice.uniform(0.2, 9), 2)
    if form == "text":
        return dice.choice(_NOUNS)
    group = product_class.attributes.get(code=attribute).option_group
    return dice.choice(list(group.options.all()))


def _stock(product: object, partner: object, dice: random.Random) -> None:
    get_model("partner", "StockRecord").objects.create(
        product=product,
        partner=partner,
        partner_sku=f"{partner.code[:3]}-{product.pk}",
        price=Decimal(dice.randint(300, 9900)) / 100,
        num_in_stock=dice.randint(5_000, 20_000),
        low_stock_threshold=10,
    )


def _offers(products: list) -> None:
    models = {name: get_model("offer", name) for name in ("Range", "Condition", "Benefit", "ConditionalOffer")}
    everything = models["Range"].objects.create(name="Everything", includes_all_products=True)
    some = models["Range"].objects.create(name="Some", slug="some", is_public=True)
    for product in products[:40]:
        some.add_product(product)
    for name, goods, kind, value in (("Ten percent", some, "Percentage", 10), ("Voucher", everything, "Percentage", 5)):
        condition = models["Condition"].objects.create(range=goods, type="Count", value=2 if goods is some else 1)
        benefit = models["Benefit"].objects.create(range=goods, type=kind, value=value)
        offer = models["ConditionalOffer"].objects.create(
            name=name, offer_type="Site" if goods is some else "Voucher", condition=condition, benefit=benefit
        )
    now = timezone.now()
    for code in VOUCHERS:
        voucher = get_model("voucher", "Voucher").objects.create(
            name=code.title(),
            code=code,
            usage="Multi-use",
            start_datetime=now - timedelta(days=1),
            end_datetime=now + timedelta(days=30),
        )
        voucher.offers.add(offer)


def _shipping(countries: list) -> None:
    flat = get_model("shipping", "OrderAndItemCharges").objects.create(
        name="Post", code="post", price_per_order=3, price_per_item=1
    )
    flat.countries.add(*countries)
    heavy = get_model("shipping", "WeightBased").objects.create(name="By weight", code="weight", default_weight=1)
    heavy.countries.add(*countries[:2])
    for limit in (5, 20):
        heavy.bands.create(upper_limit=limit, charge=limit)
    get_model("payment", "SourceType").objects.create(name="Invoice", code="invoice")
    for model in ("PaymentEventType", "ShippingEventType"):
        for name in ("Done", "Refused"):
            get_model("order", model).objects.create(name=name, code=name.lower())


def _pages() -> None:
    site = Site.objects.get_current()
    for name in ("about", "terms"):
        FlatPage.objects.create(url=f"/{name}/", title=name.title(), content=name).sites.add(site)


if __name__ == "__main__":
    main()
