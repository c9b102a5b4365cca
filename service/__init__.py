"""Runs autoencoders exported to ONNX: a REST service, a typed client and the contract they share.

Nothing here imports `training`, `torch` or `onnx`; `service.manifest` is all that the two sides
have in common.
"""

import os

# onnxruntime's official builds report their use to their maker unless told not to before they are
# imported (its Privacy.md). A server of ours talks to its callers alone.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
