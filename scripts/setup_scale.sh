#!/bin/sh
# Makes .venv-scale from requirements-scale.lock, once: what several hosts need beside .venv (docs/several_hosts.md).
set -eu
cd "$(dirname "$0")/.."
venv=.venv-scale
stamp=$venv/installed-from.lock

say() { echo "$1" >&2; }
stop() { say "Set-up stopped: $1"; exit 2; }

if [ -f "$stamp" ] && cmp -s requirements-scale.lock "$stamp" && [ "$(cat $venv/installed-at 2>/dev/null)" = "$PWD" ]; then exit 0; fi

if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then uv=uv; else uv=.venv-uv/bin/uv; fi
"$uv" --version >/dev/null 2>&1 || { .venv/bin/python -m venv .venv-uv && .venv-uv/bin/pip install -q uv >.venv-uv/pip.log 2>&1; } ||
    stop "uv could not be installed (.venv-uv/pip.log has the details)"

say "Installing the packages of several hosts into $venv (once, a minute or two)"
"$uv" venv -q --allow-existing --python .venv/bin/python $venv || stop "the environment $venv could not be made; is the disk full?"
"$uv" pip install --python $venv/bin/python -r requirements-scale.lock >$venv/install.log 2>&1 ||
    stop "a package could not be installed: $(grep -v '^ *$' $venv/install.log | tail -n 1)"
echo "$PWD" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/syndasera.pth"
echo "$PWD" >$venv/installed-at
cp requirements-scale.lock "$stamp"
