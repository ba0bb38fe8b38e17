"""How the sites of a model are found, proven and reached."""
