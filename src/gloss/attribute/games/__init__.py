"""Games on models: what the players are, what it means to remove one, and which value is read."""
