# `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SERVERS := $(VENV)/.servers
CLIENTS := .clients/.ready
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

# losetup, mke2fs and e2fsck are there, but seldom on the path of an ordinary user.
export PATH := $(PATH):/usr/sbin:/sbin

PACKAGES := chunker targets backupd
CODE := $(PACKAGES) tests bench examples scripts/demo
# In CI a test that the machine cannot run fails; elsewhere it is reported as not run.
PYTEST := $(BIN)/python -m pytest -ra $(if $(CI),--require-all)
# These share nothing with each other, so two may run at a time.
SUITES_PARALLEL := $(addprefix tests/,unit contract property formats architecture crash simulation)
# These talk to real servers, which each process of tests starts for itself: a file at a time, two side by side.
SUITES_SERVERS := $(wildcard $(patsubst %,tests/contract/test_%*.py,csi gcs lvm rados rbd s3 swift)) \
	$(addprefix tests/integration/,targets sources clients)
SUITES_SERIAL := $(addprefix tests/,integration acceptance)

.PHONY: help setup servers demo test unit lint type simulate suites bench bench-targets bench-guest bench-collect \
	bench-peers bench-curves bench-cinder clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(READY) ## make .venv with everything that is needed

$(READY): pyproject.toml constraints.txt scripts/prepare
	scripts/prepare $(PYTHON)
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[s3,gcs,swift,rados,test,dev]'
	scripts/link-rados $(BIN)/python || true
	touch $@

$(SERVERS): $(READY)
	$(INSTALL) --editable '.[s3,gcs,swift,rados,csi,test,dev,servers]'
	scripts/prepare-servers $(BIN)/python
	touch $@

$(CLIENTS): tests/clients.txt tests/clients-constraints.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --constraint tests/clients-constraints.txt \
		--requirement tests/clients.txt
	touch $@

demo: $(READY) ## back up, change, back up, restore and compare a small volume
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo

servers: $(SERVERS) $(CLIENTS) ## install the servers and clients that the tests talk to

test: lint type suites ## everything that CI runs

unit: $(READY) ## the quick tests only
	$(PYTEST) -n 2 tests/unit

simulate: $(READY) ## simulated days, as many as asked: make simulate SEED=7 SEEDS=1 DAYS=30
	$(BIN)/backupd simulate --seed $(or $(SEED),0) --seeds $(or $(SEEDS),100) --days $(or $(DAYS),30) \
		--processes $(shell nproc)

suites: $(SERVERS) $(CLIENTS) ## every test, without lint and type
	$(PYTEST) -n 2 $(SUITES_PARALLEL) $(addprefix --ignore=,$(SUITES_SERVERS))
	$(PYTEST) -n 2 --dist loadfile $(SUITES_SERVERS)
	$(PYTEST) $(SUITES_SERIAL) $(addprefix --ignore=tests/integration/,targets sources clients)

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

type: $(READY) ## mypy, strict
	$(BIN)/mypy

bench: $(READY) ## measure throughput, memory and requests
	$(BIN)/python -m bench

bench-targets: $(SERVERS) ## measure each target against the leanest client of its server
	$(BIN)/python -m bench.targets

bench-collect: $(READY) ## measure a collection: make bench-collect CHUNKS=1000000
	$(BIN)/python -m bench.collection $(if $(CHUNKS),--chunks $(CHUNKS))

bench-guest: $(SERVERS) ## measure what a guest notices of a backup, and of qemu-img convert
	$(BIN)/python -m bench.guest

bench-peers: $(SERVERS) ## compare with other tools on one disk: make bench-peers SIZE=small ROUNDS=1 ONLY=backupd,borg
	scripts/prepare-peers $(PYTHON) .peers
	$(BIN)/python -m bench.peers --size $(or $(SIZE),full) --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

bench-curves: $(READY) ## measure and draw the pictures of docs/performance.md
	$(INSTALL) --editable '.[bench]'
	$(BIN)/python -m bench.peers.curves
	$(BIN)/python -m bench.peers.plots .peers/curves.json docs/performance

bench-cinder: $(READY) ## measure the pages of a list of 100,000 backups
	$(BIN)/python -m bench.cinder_lists

clean: ## remove what the other targets made
	rm -rf $(VENV) .clients .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis build dist *.egg-info
	find $(PACKAGES) tests bench -name __pycache__ -prune -exec rm -rf {} +
