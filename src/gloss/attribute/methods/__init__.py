"""The methods that users name: each attributes a game, and says how far that explains it."""
