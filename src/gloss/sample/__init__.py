"""Stage 3: choose the contexts that show a feature, split by document, and contexts where it is silent."""
