# make run       the demo: a Kafka, the producers, nginx and the page
# make test      every test
# make module    build/ngx_http_flux_module.so for this machine's nginx
# make producers build/flux-crypto and its sisters
# make install   module and producers into the system (PREFIX, DESTDIR)
# make bench     the load scenarios       make fuzz   the fuzzers
# make bench-page  the page in a browser: first price, CPU, bytes
# make deps      Debian's packages for building
# make clean
#
# PORT=8080      where `make run` serves
# BROKERS=       an existing Kafka (host:port,...): none is started then
# SANITIZE=1     build and test with AddressSanitizer and UBSan
# TESTS=         what `make test` hands to pytest (-k NAME, a file, ...)
# SCENARIO=      which of p1 ... p9, slow `make bench` runs, and its options

.DELETE_ON_ERROR:

ROOT    := $(CURDIR)
PORT    ?= 8080
BROKERS ?=
PREFIX  ?= /usr/local

ifeq ($(SANITIZE),1)
BUILD   := $(ROOT)/build/asan
else
BUILD   := $(ROOT)/build
endif

VERSION := $(shell sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)

MODULE  := $(BUILD)/ngx_http_flux_module.so
JOBS    := -j$(shell nproc)

export PORT BROKERS BUILD SANITIZE

.PHONY: all run test module producers bench bench-page fuzz install clean deps

all: module producers

deps:
	@tools/packages nginx build

run:
	@exec setpriv --pdeathsig TERM -- tools/run

test:
	@tools/test $(TESTS)

module: deps
	@+tools/nginx-module "$(BUILD)"

producers: deps
	@if [ -e producers/Makefile ]; then \
	    $(MAKE) --no-print-directory -C producers BUILD="$(BUILD)" all; \
	fi

fuzz:
	@tools/packages build fuzz
	@$(MAKE) --no-print-directory -C t/fuzz BUILD="$(ROOT)/build"
	@$(MAKE) --no-print-directory -C producers BUILD="$(ROOT)/build" fuzz

bench-page: module
	@"$$(tools/test --venv | tail -n 1)/bin/python" bench/page.py

bench: module
	@tools/packages kafka bench
	@tools/bench-peers
	@$(MAKE) --no-print-directory -C bench BUILD="$(BUILD)"
	@python3 bench/bench.py $(SCENARIO)

# Debian's nginx looks for modules in /usr/lib/nginx/modules; PREFIX is for
# the producers and the page.
NGINX_MODULES ?= /usr/lib/nginx/modules

install:
	@[ -e "$(MODULE)" ] || { echo "flux: run make first" >&2; exit 1; }
	install -D -m 644 "$(MODULE)" \
	    "$(DESTDIR)$(NGINX_MODULES)/ngx_http_flux_module.so"
	@for program in crypto weather news stocks; do \
	    [ ! -e "$(BUILD)/flux-$$program" ] || \
	    install -v -D -m 755 "$(BUILD)/flux-$$program" \
	        "$(DESTDIR)$(PREFIX)/bin/flux-$$program" || exit 1; \
	done
	@[ ! -d html ] || { \
	    mkdir -p "$(DESTDIR)$(PREFIX)/share/flux" && \
	    cp -r html "$(DESTDIR)$(PREFIX)/share/flux/"; }

clean:
	rm -rf build
