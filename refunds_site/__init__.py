"""The site: settings, URLs and the WSGI door. No business lives here."""
