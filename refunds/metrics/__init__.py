"""What the desk tells Prometheus: everything is read from the database, so that any process gives the same answer."""
