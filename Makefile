# `make demo` and `make test` are each enough on a fresh machine: both make .venv first.
# The tests run in two processes, each on a ROS domain of its own; a file stays in one of them.
PYTHON ?= python3
OUT ?= out/demo
# As they were written, also with a $ in them; and they reach the shell of the recipe by the
# environment, which it does not parse.
override VIDEO := $(value VIDEO)
override OUT := $(value OUT)
export VIDEO OUT

.PHONY: help env demo test lint lock audit clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

env:  ## make .venv (ROS 2, vision_msgs and all else), unless it is up to date
	@$(PYTHON) requirements/install.py

demo: env  ## track the synthetic scene, or VIDEO=a file, folder, device or URL, into OUT=out/demo
	@.venv/bin/acme_tracking demo $(if $(VIDEO),--video "$$VIDEO") --out "$$OUT"

test: env lint  ## run the linters and all tests
	@.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: env  ## run ruff
	@.venv/bin/ruff check --quiet .

lock: env  ## make requirements/lock.txt anew from pyproject.toml, with the releases of today
	@.venv/bin/python -m pip install --quiet uv==0.13.9
	@.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 \
	  --generate-hashes --no-annotate --custom-compile-command 'make lock' --all-extras \
	  --output-file requirements/lock.txt pyproject.toml requirements/peers.txt

audit: env  ## look up known faults of what is locked, where their data base can be reached
	@.venv/bin/python -m pip install --quiet uv==0.13.9
	@.venv/bin/uv tool run pip-audit==2.10.1 --strict --disable-pip --requirement requirements/lock.txt

clean:  ## remove .venv and everything that the targets made
	rm -rf .venv out build install log *.egg-info .pytest_cache .ruff_cache .hypothesis
