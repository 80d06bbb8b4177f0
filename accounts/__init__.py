"""Authentication by tokens, and secrets that become invalid when their user's password changes."""
