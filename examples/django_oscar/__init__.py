"""A shop that nobody here wrote (django-oscar with its REST API) is assessed, and one capability leaves it."""
