"""An experiment file becomes (stage, shard) tasks, and an executor runs those that are not done."""
