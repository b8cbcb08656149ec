"""Version 1 of our own API, one module per resource."""
