# nginx with the Flux module, the producers and the demo's page, for a Kafka
# that runs already:
#
#   docker build -t flux .
#   docker run -p 8080:8080 -e BROKERS=kafka:9092 flux

FROM docker.io/library/debian:bookworm-slim AS base

FROM base AS build

COPY tools /src/tools
RUN /src/tools/packages nginx build chart

# uPlot, for the page's larger chart: its checksum is in tools/uplot
RUN mkdir -p /out/usr/share/flux/vendor \
    && uplot=$(/src/tools/uplot) \
    && cp -r "$uplot" /out/usr/share/flux/vendor/uplot

COPY . /src
RUN make -C /src module producers \
    && make -C /src install DESTDIR=/out PREFIX=/usr

FROM base

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        nginx librdkafka1 libjansson4 libhiredis0.14 liburing2 libcurl4 libxml2 \
        ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home flux \
    && install -d -o flux /run/flux

COPY --from=build /out /
COPY conf/nginx.conf conf/producers /usr/share/flux/
COPY tools/container /usr/bin/flux

ENV BROKERS= PORT=8080
USER flux
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["/usr/bin/flux"]
