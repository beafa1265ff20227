"""`strangler plan graph SERVICE`: from the live schema, from the baseline, and from the plan alone."""

import re

import pytest

from tests.plan_shop import PLAN, PlanShop

pytestmark = pytest.mark.integration

NOWHERE = "postgresql://app:s3cret@127.0.0.1:1/none"


def drawn(shop, *arguments):
    done = shop.run("graph", "shop", *arguments)
    assert done.exit_code == 0, done.exception
    return done


def test_keys_and_dependents_come_from_the_schema_then_from_the_baseline_then_not_at_all(new_database, tmp_path):
    shop = PlanShop.made(tmp_path, new_database("legacy"), new_database("service"))
    live = drawn(shop).stdout
    assert "keep_on_copy: sale_item" in live
    assert "trigger item_stamp<br/>it does nothing" in live
    assert "item<br/>key id" in live
    assert "items<br/>key item_id" in live

    assert shop.run("accept").exit_code == 0
    away = PlanShop(folder=tmp_path, legacy=NOWHERE, service=NOWHERE)
    away.write_settings()
    assert drawn(away).stdout == live

    (tmp_path / "shop.baseline.json").unlink()
    alone = drawn(away)
    assert "does not answer" in alone.stderr
    assert "s3cret" not in alone.output
    assert "sale_item<br/>keep_on_copy: it holds on the live copy" in alone.stdout
    assert "item_stamp" not in alone.stdout


def test_a_baseline_that_does_not_know_a_table_gives_way_to_the_schema(new_database, tmp_path):
    shop = PlanShop.made(tmp_path, new_database("legacy"), new_database("service"))
    assert shop.run("accept").exit_code == 0
    shop.write(PLAN.replace("  item:", "  shelf: {targets: {shelves: {id: id}}}\n  item:"))
    assert "shelf<br/>key id" in drawn(shop).stdout


def test_keys_among_moved_tables_are_drawn_and_a_partitions_are_its_tables(new_database, tmp_path):
    shop = PlanShop.made(tmp_path, new_database("legacy"), new_database("service"))
    shop.in_legacy("""
        CREATE TABLE stock (id int, item_id int, shelf_id int) PARTITION BY LIST (id);
        CREATE TABLE stock_1 PARTITION OF stock FOR VALUES IN (1);
        CREATE TABLE stock_2 PARTITION OF stock FOR VALUES IN (2);
        ALTER TABLE stock_1 ADD CONSTRAINT part_item FOREIGN KEY (item_id) REFERENCES item;
        ALTER TABLE stock_2 ADD CONSTRAINT part_item FOREIGN KEY (item_id) REFERENCES item;
        ALTER TABLE stock_1 ADD CONSTRAINT part_shelf FOREIGN KEY (shelf_id) REFERENCES shelf;
        CREATE TRIGGER part_stamp BEFORE UPDATE ON stock_1 FOR EACH ROW EXECUTE FUNCTION stamp();
    """)
    shop.write(PLAN.replace("  item:", "  stock: {targets: {stock: {id: id, item_id: item_id}}}\n  item:", 1))
    live = drawn(shop, "--format", "dot").stdout
    labelled = re.findall(r'^    (n\d+) \[label="(stock|item|shelf|trigger part_stamp)[\\"]', live, re.M)
    # What the service will have is called the same, and comes later.
    boxes = {label: box for box, label in reversed(labelled)}
    assert live.count(f"{boxes['stock']} -> {boxes['item']} ") == 1
    assert live.count(f"{boxes['stock']} -> {boxes['shelf']} ") == 1
    assert live.count(f"{boxes['trigger part_stamp']} -> {boxes['stock']} ") == 1
    assert "stock_1" not in live


@pytest.mark.parametrize(("form", "begins"), [("mermaid", "flowchart"), ("dot", "digraph"), ("html", "<!doctype")])
def test_a_file_is_written_whole(tmp_path, form, begins):
    shop = PlanShop(folder=tmp_path, legacy=NOWHERE, service=NOWHERE)
    shop.write(PLAN)
    shop.write_settings()
    out = tmp_path / "drawn"
    assert drawn(shop, "--format", form, "--out", str(out)).stdout == ""
    assert out.read_text().startswith(begins)
