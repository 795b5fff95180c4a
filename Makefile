# What a person types. `make help` lists it; the work is in scripts/.
SWIFT := scripts/swift
# The borders of Package.swift are errors, and so is any warning.
FLAGS := --explicit-target-dependency-import-check error -Xswiftc -warnings-as-errors

.PHONY: help setup servers build check test test-full release demo bench bench-s3 bench-sftp format man clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## install what building and testing need (every other target does so by itself)
	@scripts/setup

servers: ## install the servers that tests start, too
	@scripts/setup --servers

build: setup ## a debug build
	$(SWIFT) build $(FLAGS)

check: setup ## format, borders, no warning, the fast tests: under five minutes
	@scripts/check fast

test: servers release ## everything, with a part of the long loops: what CI runs
	@SEALIFT_BINARY=$(CURDIR)/dist/sealift scripts/check part

test-full: servers release ## everything, with all of the long loops
	@SEALIFT_BINARY=$(CURDIR)/dist/sealift scripts/check full

release: setup ## dist/sealift: one file that runs on any Linux of this architecture, without Swift
	@scripts/release

demo: release ## a store, two copies, a crash, a flipped bit, all healed: under a minute after the build
	@scripts/demo dist/sealift

bench: release ## the table of docs/performance.md; BENCH="--quick --rows small" selects
	@scripts/setup rsync rclone
	@python3 bench/run.py dist/sealift $(BENCH)

bench-s3: servers release ## the same over S3, against rclone and aws; BENCH="--quick --rows put,list" selects
	@scripts/setup rclone awscli
	@python3 bench/s3.py dist/sealift $(BENCH)

bench-sftp: release ## the same over SFTP, on loopback and over 20 ms; BENCH="--quick --rows put,list20" selects
	@scripts/setup rsync rclone openssh-server openssh-client
	@python3 bench/sftp.py dist/sealift $(BENCH)

format: setup ## rewrite the sources in the project's format
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

man: release ## manual pages in dist/man, out of the one table of verbs
	@mkdir -p dist/man
	@dist/sealift generate-manual dist/man
	@echo dist/man

clean: ## remove what was built; the toolchain stays
	rm -rf .build .build-fuzz .build-release dist
