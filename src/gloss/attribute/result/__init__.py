"""What was found: interactions and their indices, how faithful they are, which terms to read, and
words for them.
"""
