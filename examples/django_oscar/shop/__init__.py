"""The smallest Django project around django-oscar and django-oscar-api. It knows nothing of the toolkit."""
