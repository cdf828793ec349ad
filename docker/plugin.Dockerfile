# The plugin for the Vaa3D whose sources are the context `vaa3d`, as an archive in dist/:
#
#     docker build -f docker/plugin.Dockerfile --build-context vaa3d=/path/to/v3d_external \
#       --build-arg QT=6 --output dist .
#
# BASE decides which Qt and which libzmq the plugin is for.
ARG BASE=debian:12-slim

FROM ${BASE} AS build
ARG QT=6
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends cmake g++ make pkg-config libzmq3-dev cppzmq-dev \
       nlohmann-json3-dev $([ "${QT}" = 5 ] && echo qtbase5-dev || echo qt6-base-dev) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile LICENSE ./
COPY vaa3d_bridge/plugin vaa3d_bridge/plugin
COPY --from=vaa3d v3d_main /vaa3d/v3d_main
RUN make plugin-package QT=${QT} VAA3D_ROOT=/vaa3d

FROM scratch
COPY --from=build /src/dist /
