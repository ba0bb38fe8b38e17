"""What each stage does with a plan.

Every result is a part with a marker, so that a run goes on where it was killed.
"""
