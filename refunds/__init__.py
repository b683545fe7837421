"""The back office: the life of a refund from the request to the bank, and the people who decide."""
