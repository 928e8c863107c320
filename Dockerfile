# An image of the program, which needs no library, and root certificates: no shell, no package manager.
# Debug a running pod with: kubectl debug -it POD --image=busybox --target=wxmint --profile=restricted

# Where images and crates come from, if not from where they are published: README.md#mirrors.
ARG REGISTRY=docker.io

FROM ${REGISTRY}/library/rust:1.95-slim-bookworm AS build
ARG CRATES=
WORKDIR /src
COPY . .
# gcc, for aws-lc and mimalloc, is in the image. The caches are left out of layers: the program is laid out before they go.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ -n "$CRATES" ]; then \
      printf '[source]\ncrates-io.replace-with = "mirror"\nmirror.registry = "%s"\n' "$CRATES" >"$CARGO_HOME/config.toml"; \
    fi && tests/tools/image_root.sh "$(tests/tools/program.sh --release)" /image

FROM build AS build-envoy-module
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package wxmint-envoy && cp target/release/libwxmint_envoy.so /

# `docker build --target envoy-module`: wxmint's module for Envoy alone (docs/envoy.md).
FROM scratch AS envoy-module
COPY --from=build-envoy-module /libwxmint_envoy.so /

FROM scratch
COPY --from=build /image/ /
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/wxmint"]
CMD ["serve"]
