"""What a run tells of itself: the pages of its features and the sections of its report."""
