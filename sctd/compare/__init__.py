"""Compares methods: equal budgets, their runs one after another, and a page of the results."""
