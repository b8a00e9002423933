"""Stateful functions-as-a-service for the Jupyter notebook."""
