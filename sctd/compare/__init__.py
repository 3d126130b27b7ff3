"""Methods side by side: equal budgets, their runs one after another, and a page of what came out."""
