# The served image: the service, its models and onnxruntime. No torch, no compiler, no root.
#   docker build -t autoencoder-service .                      runs on the CPU
#   docker build -t autoencoder-service:gpu --target gpu .     runs on NVIDIA, driver 580 or newer
# It needs BuildKit: Docker 23 or newer, or DOCKER_BUILDKIT=1. What changes least comes first.
# To mark an image with its commit: --label org.opencontainers.image.revision=$(git rev-parse HEAD)

# The environment has no pip of its own, so none is shipped in it: the base image's installs into it.
FROM python:3.13-slim-trixie AS environment
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/venv
WORKDIR /build

# The dependencies alone, so that another edit to pyproject.toml does not install them again.
FROM environment AS requirements
COPY pyproject.toml ./
RUN python -c "import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']; \
[pathlib.Path(extra + '.txt').write_text('\n'.join(project['dependencies'] + project['optional-dependencies'][extra] + project['optional-dependencies']['otel'])) for extra in ('cpu', 'gpu')]"

FROM environment AS dependencies-cpu
COPY --from=requirements /build/cpu.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --only-binary :all: --requirement cpu.txt

# CUDA and cuDNN come as pip's wheels: an nvidia/cuda base would carry them a second time.
FROM environment AS dependencies-gpu
COPY --from=requirements /build/gpu.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --only-binary :all: --requirement gpu.txt

# The service without its dependencies, as a tree of its own: a changed line is a small layer.
# The models are left out of the wheel and copied below, so that a new model builds nothing.
FROM environment AS project
COPY pyproject.toml README.md ./
COPY service service
RUN --mount=type=cache,target=/root/.cache/pip mkdir models && \
    pip --python /opt/venv/bin/python install --no-deps --no-warn-script-location --root /project .

FROM python:3.13-slim-trixie AS served
LABEL org.opencontainers.image.title="autoencoder-service" \
      org.opencontainers.image.description="Autoencoders for images behind a REST API" \
      org.opencontainers.image.version="0.1.0"
RUN groupadd --gid 10001 autoencoder && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --no-log-init \
            --shell /usr/sbin/nologin autoencoder
# HOST: a container's own loopback cannot be published; who may reach it, the publishing host says.
# ORT: since 1.29 onnxruntime reports its use to its maker unless told not to before it starts.
ENV PATH=/opt/venv/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    AUTOENCODER_HOST=0.0.0.0 \
    AUTOENCODER_MODELS_DIR=/models
EXPOSE 8000
# By number: Kubernetes cannot tell whether a name is root.
USER 10001:10001
# A real inference through the real queue. The start period ends with the first success.
HEALTHCHECK --interval=10s --timeout=8s --start-period=60s --retries=3 \
    CMD ["autoencoder", "health"]
CMD ["autoencoder", "serve"]

# All that is copied stays root's, so the service could not change it even on a writable root.
# chmod: a checkout made under a strict umask would be unreadable to the service's user.
FROM served AS gpu
# The base image does not say it is for CUDA: without this the driver's libraries may be left out.
ENV AUTOENCODER_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=dependencies-gpu /opt/venv /opt/venv
COPY --from=project /project /
COPY --chmod=755 models /models

# Last, so that it is what `docker build .` makes.
FROM served AS cpu
ENV AUTOENCODER_DEVICE=cpu
COPY --from=dependencies-cpu /opt/venv /opt/venv
COPY --from=project /project /
COPY --chmod=755 models /models
