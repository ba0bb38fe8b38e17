"""Changes features inside the subject and measures what that does to what it says: causes, where
contexts show correlates.
"""
