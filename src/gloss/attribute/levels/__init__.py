"""Attribution by levels: passages, then sentences of those that matter, then their words."""
