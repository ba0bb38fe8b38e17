"""Which gloss this is: the number that pyproject.toml and CITATION.cff state too."""

# A constant, and not what is written of an installed package: results are kept by it, and gloss
# also runs from a checkout that nobody installed.
__version__ = "0.1.0"
