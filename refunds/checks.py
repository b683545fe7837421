"""System checks: the site refuses to start half-configured, and says what to do."""
