"""Access of users by other means than a session: tokens, and what ends them together with a password."""
