"""Numbers with their intervals: what every stage states its results by."""
