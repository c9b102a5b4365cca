"""Runs autoencoders exported to ONNX: a REST service, a typed client and the contract they share.

Nothing here imports `training`, `torch` or `onnx`; `service.manifest` is all that the two sides
have in common.
"""
