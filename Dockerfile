# syntax=docker/dockerfile:1
# kvist as a container: see docs/deploy.md.

FROM node:22-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
COPY scripts/setup.mjs scripts/
RUN node scripts/setup.mjs
COPY . .
RUN npm run build
# The last stage has no shell to make these with.
RUN mkdir data
RUN share=completions/share && mkdir -p $share/bash-completion/completions $share/zsh/site-functions $share/fish/vendor_completions.d \
  && SHELL=/bin/bash dist/kvist completion > $share/bash-completion/completions/kvist \
  && SHELL=/bin/zsh dist/kvist completion > $share/zsh/site-functions/_kvist \
  && SHELL=/bin/fish dist/kvist completion > $share/fish/vendor_completions.d/kvist.fish

# The executable needs the C library and nothing else: no shell, no package manager, 15 MB. Its user is nonroot, 65532.
FROM gcr.io/distroless/base-nossl-debian12:nonroot
COPY --from=build /src/dist/kvist /usr/local/bin/kvist
COPY --from=build --chown=65532:65532 /src/data /data
# For images that are made from this one and have a shell.
COPY --from=build /src/completions/share /usr/share
# docker build --build-arg VERSION=… --build-arg REVISION=…: see docs/deploy.md.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kvist" \
      org.opencontainers.image.description="A key-value store that speaks HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="gcr.io/distroless/base-nossl-debian12:nonroot"
# Beyond loopback kvist starts only with KVIST_TOKEN_FILE or KVIST_TOKEN, or with `serve --no-auth` as the command: give one.
# A container that is stopped has ten seconds until it is killed; eight for what is in flight leave two for the rest.
# The last three are what bin/kvist sets, and why is said there.
ENV KVIST_HOST=0.0.0.0 \
    KVIST_DATA=/data \
    KVIST_STOP_TIMEOUT=8s \
    BUN_JSC_forceRAMSize=700000000 \
    BUN_JSC_gcMaxHeapSize=16000000 \
    BUN_CONFIG_MAX_HTTP_REQUESTS=65000
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 7070
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/kvist", "health"]
ENTRYPOINT ["/usr/local/bin/kvist"]
CMD ["serve"]
