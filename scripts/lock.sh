#!/usr/bin/env bash
# Write requirements.lock: one version of every package that any extra needs. pip reads it as constraints
# (`pip install -c requirements.lock -e '.[demo]'`). Versions already in the file are kept; `--upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
"$uv" pip compile pyproject.toml --all-extras --quiet --universal --python-version 3.11 --no-emit-index-url \
    --no-emit-find-links --no-header --no-annotate --output-file requirements.lock "$@"
# What an accelerator needs is torch's own business: it differs between its builds. A local build label
# (+cpu) is of one machine.
sed -i -E -e 's/^(torch==[0-9.]+)\+[a-z0-9.]+/\1/' -e '/^(nvidia-|triton==|cuda-)/d' requirements.lock
{ echo "# Constraints for pip, written by scripts/lock.sh"; cat requirements.lock; } > requirements.lock.tmp
mv requirements.lock.tmp requirements.lock
