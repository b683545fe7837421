"""The life of a refund as a model: the services' own code, on tables in memory, through every order of events."""
