#!/bin/sh
# Makes .venv from requirements.lock, once. Called by make; every way it can fail is said in one line.
# Its arguments are NAME:DEFAULT of the ports of what will listen: on a first set-up, one in use is said before anything
# is made.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
stamp=$venv/installed-from.lock

say() { echo "$1" >&2; }
stop() { say "Set-up stopped: $1"; exit 2; }

if [ -f "$stamp" ] && cmp -s requirements.lock "$stamp" && [ "$(cat $venv/installed-at 2>/dev/null)" = "$PWD" ]; then exit 0; fi

python=""
for candidate in ${PYTHON:-python3.11 python3 python}; do
    if command -v "$candidate" >/dev/null 2>&1 && [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "3.11" ]; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || stop "Python 3.11 is needed and was not found; install it, or name it: make PYTHON=/path/to/python3.11"
if [ ! -f "$stamp" ]; then
    for wanted in "$@"; do
        port=$(printenv "${wanted%%:*}" || true)
        port=${port:-${wanted#*:}}
        "$python" -c 'import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1])))' "$port" 2>/dev/null ||
            stop "port $port is used by another program, or is none; choose another with ${wanted%%:*}=..."
    done
fi
free_mb=$(df -Pm . | awk 'NR == 2 {print $4}')
[ "$free_mb" -ge 6000 ] || [ -f "$stamp" ] || stop "the disk is nearly full: $free_mb MB free here, the environment needs 6000"
command -v git >/dev/null 2>&1 || stop "git is needed and was not found"

# uv takes seconds where pip takes ten minutes. Without it on the path, pip puts it into a small environment of its own.
if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
    uv=uv
else
    uv=.venv-uv/bin/uv
    [ -x $uv ] || { "$python" -m venv .venv-uv && .venv-uv/bin/pip install -q uv >.venv-uv/pip.log 2>&1; } ||
        stop "uv could not be installed (no network? .venv-uv/pip.log has the details)"
fi

say "Installing the environment into $venv (once, a minute or two)"
UV_FIND_LINKS="${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}"
export UV_FIND_LINKS
"$uv" venv -q --allow-existing --python "$python" $venv || stop "the environment $venv could not be made; is the disk full?"
log=$venv/install.log
if ! "$uv" pip install --python $venv/bin/python -r requirements.lock >"$log" 2>&1; then
    if grep -qi "no space left" "$log"; then stop "the disk is full; the environment needs about 6 GB"; fi
    if grep -qiE "dns|connect|network|timed out|resolve host|failed to fetch" "$log"; then
        stop "no network: the packages could not be fetched ($log has the details)"
    fi
    stop "a package could not be installed: $(grep -v '^ *$' "$log" | tail -n 1)"
fi
# `python -m pipeline` must work from a run's workspace too.
echo "$PWD" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/syndasera.pth"
echo "$PWD" >$venv/installed-at
cp requirements.lock "$stamp"
