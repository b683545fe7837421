"""Translators between the back office and the gateways. Pure Python: no Django, no database, no decisions."""
