"""The catalog area: products, prices, categories. Its endpoints are the busy ones and speak SQL directly."""
