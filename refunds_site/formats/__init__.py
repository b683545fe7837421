"""How each language writes moments, beside what Django knows of it."""
