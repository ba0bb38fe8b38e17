"""A judge: how it is asked and read, what its answers add up to, how far they can be trusted."""
