"""Read tables, find the types of their columns, and turn rows into numbers and back."""
