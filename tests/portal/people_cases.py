"""What everybody in the portal's tests has."""

PASSWORD = "a long enough password"
