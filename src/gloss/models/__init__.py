"""What has weights or answers: the subject that is read, dictionaries of its features, and language
models that are asked.
"""
