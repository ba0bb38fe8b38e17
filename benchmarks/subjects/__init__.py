"""Every causal architecture of the installed transformers, as a tiny random model, and which sites
are proven in it.
"""
