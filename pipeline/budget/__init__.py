"""What people see of the budget: where each population stands, how it came there, and a warning before it runs out. Restricted; row-free."""
