"""What a run's report says, section by section; each is there only where the run has what it speaks of."""
