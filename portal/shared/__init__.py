"""What both processes of the portal need: databases, accounts, sessions, pages."""
