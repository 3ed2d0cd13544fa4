# labdock: everything a contributor does. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-demo setup-bench setup-vm extension demo test browser vm lab bench soak check notebooks picture clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: ## system packages, devices, ids and .venv, for the demo and the tests
	@scripts/system.sh test
	@scripts/venv.sh
	@scripts/extension.sh
	@scripts/clients.sh
	@scripts/fronts.sh

setup-demo: ## the same without the docker command line
	@scripts/system.sh base
	@scripts/venv.sh

setup-bench: ## the same with podman and dockerd, the peers
	@scripts/system.sh bench
	@scripts/venv.sh

setup-vm: ## what the virtual machine for `make vm` is made with
	@scripts/system.sh vm
	@scripts/venv.sh

extension: setup-demo ## the JupyterLab extension, built from extension/ when that is newer, its style and tests
	@scripts/extension.sh --check

demo: setup-demo ## run notebooks/quickstart.ipynb on a real engine, leave it as build/quickstart.html
	@scripts/demo.sh

test: setup ## every test; ARGS="tests/unit -k name" for some
	@scripts/test.sh $(ARGS)

browser: setup ## the tests in a real browser; ARGS="-k name" for some, LAB=4.2 for that JupyterLab
	@scripts/browser.sh $(ARGS)

vm: setup-vm ## limits kept by the kernel, in a virtual machine with systemd (emulated: some 10 minutes)
	@scripts/vm.sh $(ARGS)

lab: setup-demo ## JupyterLab on the notebooks
	@scripts/extension.sh
	@.venv/bin/jupyter lab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

soak: setup ## thousands of lives, execs and followers on one engine; says what it holds before and after
	@scripts/user.sh env LABDOCK_TEST_SOAK=1 .venv/bin/python -m pytest -q -p no:cacheprovider tests/system/test_soak.py

bench: setup-bench ## labdock beside rootless podman and docker; figures in build/bench.json
	@scripts/bench.sh $(ARGS)

check: setup-demo ## ruff, mypy and the table of rooms
	@scripts/check.sh

notebooks: setup ## run the notebooks again and store them with their outputs (then look at them)
	@scripts/notebooks.sh $(ARGS)

picture: ## the pictures in the documentation, by headless chromium: the demo's page and JupyterLab's parts
	@scripts/picture.sh

clean: ## remove what these targets made in the checkout
	@rm -rf build dist .venv .mypy_cache .ruff_cache labdock/labextension extension/lib extension/node_modules tests/contract/node/node_modules
	@find labdock tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
