"""Players: what they are, what it means to remove one, and the games that they make."""
