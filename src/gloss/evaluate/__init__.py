"""Beside the stages: whole dictionaries are judged, each by numbers that stand beside controls."""
