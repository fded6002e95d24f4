# shellcheck shell=bash disable=SC2154
# machine.sh: what ./run, ./test and .ci/run share: telling, and getting the packages of cmake/packages.txt.
# Sourced by bash; expects $top, the root of the tree.

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}
on_terminal() { [ -t 0 ] && [ -t 1 ]; }
as_root=()

# Whether a package is there. gcc-14 or so also serves what depends on gcc; only names are looked at.
have_package() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# packages_missing KIND...: the packages of these kinds that are not installed.
packages_missing() {
    local kind package want
    while read -r kind package _; do
        for want in "$@"; do
            if [ "$kind" = "$want" ] && ! have_package "$package"; then say "$package"; fi
        done
    done <"$top/cmake/packages.txt"
}

# How to become root: nothing to do, sudo with a person at the terminal, sudo that asks nothing, or not at all.
find_root() {
    as_root=()
    if [ "$(id -u)" = 0 ]; then return 0; fi
    command -v sudo >/dev/null || return 1
    if on_terminal; then as_root=(sudo); else as_root=(sudo -n); fi
    "${as_root[@]}" true 2>/dev/null
}

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"; }

# install_packages KIND...: tells what is missing, installs it, and nothing else. What is
# `maybe` is asked for once in a tree and may be missing afterwards.
install_packages() {
    local log missing optional=() package asked=$top/build/optional-packages-asked-for
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "Not a Debian-like system: the counterparts of cmake/packages.txt are expected to be installed."
        return 0
    fi
    mapfile -t missing < <(packages_missing "${@/maybe/}")
    case " $* " in *" maybe "*) if [ ! -e "$asked" ]; then mapfile -t optional < <(packages_missing maybe); fi ;; esac
    if [ ${#missing[@]} = 0 ] && [ ${#optional[@]} = 0 ]; then return 0; fi
    if ! find_root; then
        if [ ${#missing[@]} = 0 ]; then return 0; fi
        die "these packages are missing and only root can install them: apt-get install ${missing[*]}"
    fi
    log=$(mktemp)
    say "Installing (apt-get, no recommended packages): ${missing[*]} ${optional[*]}"
    apt update >"$log" 2>&1 || say "apt-get update failed, trying with the package lists that are there."
    if [ ${#missing[@]} != 0 ] && ! apt install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get install failed"
    fi
    for package in "${optional[@]}"; do
        apt install --no-install-recommends "$package" >>"$log" 2>&1 || say "$package can't be had, going on without it."
    done
    mkdir -p "$top/build" && : >"$asked"
    rm -f "$log"
}

processors() { nproc 2>/dev/null || say 2; }

# quietly LOG COMMAND...: its output goes to the terminal where there is one, else to the log, told on failure.
quietly() {
    local log=$1 status=0
    shift
    mkdir -p "$(dirname "$log")"
    if [ -t 1 ]; then
        "$@" 2>&1 | tee "$log"
        return "${PIPESTATUS[0]}"
    fi
    "$@" >"$log" 2>&1 || status=$?
    [ "$status" = 0 ] || tail -n 60 "$log" >&2
    return "$status"
}
