"""An experiment file becomes (stage, shard) tasks, and an executor runs those that are not done."""

from gloss.callable_package import make_callable

make_callable(__name__)
