"""The catalog service's tables in other databases, for the mapping of `tests.catalog_mapping`."""

SQLITE_DDL = [
    "CREATE TABLE categories (category_id INTEGER PRIMARY KEY, parent_id BIGINT REFERENCES categories,"
    " title VARCHAR(80) NOT NULL, slug VARCHAR(80) NOT NULL UNIQUE, sort_order INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE products (product_id INTEGER PRIMARY KEY, sku VARCHAR(40) NOT NULL UNIQUE,"
    " title VARCHAR(200) NOT NULL, category_id BIGINT NOT NULL REFERENCES categories, lifecycle TEXT NOT NULL,"
    " tags JSON NOT NULL, attributes JSON NOT NULL, weight_grams INTEGER, revision INTEGER NOT NULL DEFAULT 1,"
    " created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL)",
    "CREATE TABLE product_descriptions (product_id INTEGER PRIMARY KEY REFERENCES products ON DELETE CASCADE,"
    " body TEXT)",
    "CREATE TABLE prices (price_id INTEGER PRIMARY KEY, product_id BIGINT NOT NULL REFERENCES products,"
    " currency CHAR(3) NOT NULL, amount_minor BIGINT NOT NULL, reference VARCHAR(64) UNIQUE,"
    " effective_from DATETIME NOT NULL, effective_to DATETIME)",
    "CREATE TABLE product_categories (product_id BIGINT REFERENCES products, category_id BIGINT REFERENCES categories,"
    " sort_order INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (product_id, category_id))",
]

MYSQL_DDL = [
    "CREATE TABLE categories (category_id bigint PRIMARY KEY AUTO_INCREMENT, parent_id bigint,"
    " title varchar(80) NOT NULL, slug varchar(80) NOT NULL UNIQUE, sort_order int NOT NULL DEFAULT 0,"
    " FOREIGN KEY (parent_id) REFERENCES categories (category_id))",
    "CREATE TABLE products (product_id bigint PRIMARY KEY AUTO_INCREMENT, sku varchar(40) NOT NULL UNIQUE,"
    " title varchar(200) NOT NULL, category_id bigint NOT NULL, lifecycle varchar(20) NOT NULL DEFAULT 'draft',"
    " tags json NOT NULL, attributes json NOT NULL, weight_grams int, revision int NOT NULL DEFAULT 1,"
    " created_at timestamp(6) NOT NULL DEFAULT current_timestamp(6),"
    " updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6),"
    " FOREIGN KEY (category_id) REFERENCES categories (category_id))",
    "CREATE TABLE product_descriptions (product_id bigint PRIMARY KEY, body longtext,"
    " FOREIGN KEY (product_id) REFERENCES products (product_id) ON DELETE CASCADE)",
    "CREATE TABLE prices (price_id bigint PRIMARY KEY AUTO_INCREMENT, product_id bigint NOT NULL,"
    " currency char(3) NOT NULL, amount_minor bigint NOT NULL, reference varchar(64) UNIQUE,"
    " effective_from datetime(6) NOT NULL, effective_to datetime(6),"
    " FOREIGN KEY (product_id) REFERENCES products (product_id))",
    "CREATE TABLE product_categories (product_id bigint, category_id bigint, sort_order int NOT NULL DEFAULT 0,"
    " PRIMARY KEY (product_id, category_id), FOREIGN KEY (product_id) REFERENCES products (product_id),"
    " FOREIGN KEY (category_id) REFERENCES categories (category_id))",
]

CATALOG_DDL = {"sqlite": SQLITE_DDL, "mysql": MYSQL_DDL}
