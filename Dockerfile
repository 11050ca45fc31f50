# The program alone, in an image without a shell, as a user without rights:
#
#   docker build -t greenformers --build-arg REVISION="$(git rev-parse --short=12 HEAD)" .
#   docker run --rm greenformers estimate bert-large --hardware a100-40gb
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" greenformers report reports/mine
#
# With CUDA, for `profile` and `run` on NVIDIA GPUs (`--gpus all`):
#
#   docker build -t greenformers:cuda --build-arg VARIANT=cuda .
#
# Checked by hadolint. No build of it has been tried yet: where the program is developed, no images can be fetched.
ARG VARIANT=cpu
# As `rust-version` in Cargo.toml.
ARG RUST=1.95
ARG CUDA=13.0.1

FROM rust:${RUST}-slim-bookworm AS rust

FROM rust AS build-cpu
ENV FEATURES=""

FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build-cuda
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH FEATURES=cuda

# hadolint ignore=DL3006
FROM build-${VARIANT} AS build
ARG REVISION
WORKDIR /src
COPY . .
# The repository is not in the image: without `REVISION` the program does not name its commit.
RUN if [ -n "$REVISION" ]; then export GREENFORMERS_REVISION="$REVISION"; fi; \
    cargo build --release --locked --features "$FEATURES"

FROM gcr.io/distroless/cc-debian12:nonroot AS run-cpu

# It has the libraries that the program loads when a GPU is asked for; the driver is the host's.
FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04 AS run-cuda

# hadolint ignore=DL3006
FROM run-${VARIANT}
COPY --from=build /src/target/release/greenformers /usr/local/bin/greenformers
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/usr/local/bin/greenformers"]
