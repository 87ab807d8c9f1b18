# Sourced by the scripts of this folder: where things are, and how to stop
# with one sentence.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${FLUX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/flux}

say() {
    printf '%s\n' "$*"
}

die() {
    printf 'flux: %s\n' "$*" >&2
    exit 1
}

# True when something listens on the loopback port $1.
port_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The first port from $1 on that nobody listens on.  Ports stay below the
# range from which the kernel picks ports for outgoing connections, so that
# a server that is restarted finds its port free.
free_port() {
    local port=$1

    while port_taken "$port"; do
        port=$((port + 1))
    done

    echo "$port"
}
