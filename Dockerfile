# An image of the program, the libraries it is linked to and root certificates: no shell, no package manager.
# Debug a running pod with: kubectl debug -it POD --image=busybox --target=wxmint

# Where images and crates come from, if not from where they are published: docs/mirrors.md.
ARG REGISTRY=docker.io

FROM ${REGISTRY}/library/rust:1.95-slim-bookworm AS build
ARG CRATES=
WORKDIR /src
COPY . .
# gcc, for aws-lc, is in the image. The caches are left out of layers: the program is laid out before they go.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo ${CRATES:+--config source.crates-io.replace-with="'mirror'" --config source.mirror.registry="'$CRATES'"} \
      build --release --locked --bin wxmint --features kubernetes \
    && tests/tools/image_root.sh target/release/wxmint /image

FROM scratch
COPY --from=build /image/ /
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/wxmint"]
CMD ["serve"]
