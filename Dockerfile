# syntax=docker/dockerfile:1
# A static binary in an image that holds nothing else but the certificates of public authorities: no shell, no root, and
# nothing is written, so that it runs with a read-only file system.
FROM rust:1.95-alpine AS build
# What compiles the parts of dependencies that are C.
RUN apk add --no-cache build-base
WORKDIR /source
COPY . .
# The target of this image is musl, which links statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked -p seawall && cp target/release/seawall /seawall

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /seawall /seawall
# As a number: Kubernetes cannot tell of a name that it is not root.
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/seawall"]
CMD ["serve"]
