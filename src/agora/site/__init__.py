"""What the pages of all rooms share: layout, words in several languages, signed cookies, forms that cannot be forged.

A room's ``pages.py`` makes a router with these; :mod:`agora.web` joins the routers into one app.
"""
