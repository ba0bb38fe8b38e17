"""llama.cpp's own server around a GGUF file, by the package `xllamacpp`: run as a file of its own.

python xllamacpp_server.py FILE.gguf PORT
"""

import sys
import threading
from importlib import import_module
from typing import Any


def serve_gguf(file: str, port: int) -> None:
    """Serve the file until killed."""
    xllamacpp: Any = import_module("xllamacpp")  # typed nowhere

    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.port = port
    parameters.n_ctx = 0  # as long as the model was trained for
    parameters.warmup = False
    _server = xllamacpp.Server(parameters)
    threading.Event().wait()


if __name__ == "__main__":
    serve_gguf(sys.argv[1], int(sys.argv[2]))
