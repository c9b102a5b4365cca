"""The Open Inference Protocol v2 over the catalog, as Triton and KServe speak it over HTTP.

A model NAME is addressed whole or by its parts, each with one input:

    NAME              images UINT8 [-1,H,W,C]     -> images UINT8 [-1,H,W,C]
    NAME.encoder      images UINT8 [-1,H,W,C]     -> latents FP32 (, log_variances FP32)
    NAME.decoder      latents FP32 [-1,...]       -> images UINT8 [-1,H,W,C]
    NAME.classifier   images UINT8 [-1,H,W,C]     -> probabilities FP32 [-1,K]

Image files. Wherever a tensor is called `images`, it may be of datatype BYTES and shape [-1] (or
[-1,1]) instead: one encoded image (PNG, JPEG, WebP, BMP, TIFF) an element. Grey and colour are
converted as the model takes them; the size must be the model's. In the binary extension the
elements are the files' bytes; in JSON, whose strings cannot hold them, base64 or data URIs.
Images come back as they were sent: BYTES (PNG) for BYTES, UINT8 for UINT8 and for latents. The
parameter `datatype` ("BYTES" or "UINT8") of a requested output, else of the request, overrides
that. Files of different sizes may share a request to a model that takes any size, if BYTES come
back.
(KServe's own client cannot hold binary BYTES that are no UTF-8: with it, ask for
`"binary_data": false`, which is base64, or for UINT8.)

Other parameters: `timeout`, microseconds that the request may take, if fewer than the server's
own limit; `classification` of the output `probabilities`: the N most probable classes as BYTES
"value:index:label". What is not known (`sequence_id`, `priority`, ...) is ignored, as Triton
does with what a model has no use for. There is no shared memory.
"""
