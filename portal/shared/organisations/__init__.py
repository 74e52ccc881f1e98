"""Sign-in through an organisation, by OpenID Connect."""
