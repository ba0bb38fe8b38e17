"""How the shards of a stage are run: here or in processes, one feature's error costing that feature
alone.
"""
