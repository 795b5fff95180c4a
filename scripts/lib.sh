# Shared by the scripts beside it; sourced by bash, never run.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"

say() { printf 'sealift: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The oldest Swift that the package manifest accepts.
swift_wanted=6.0

# True when a recent enough Swift is on PATH.
native_swift() {
    local version
    command -v swift >/dev/null || return 1
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] || return 1
    [ "$(printf '%s\n%s\n' "$swift_wanted" "$version" | sort -V | head -n 1)" = "$swift_wanted" ]
}

# The private Debian 13 that holds Swift where the machine's own Debian has none.
toolchain_root() {
    printf '%s\n' "${SEALIFT_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/sealift/debian-13}"
}

# Names of the packages among its arguments that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs what is missing among its arguments, and touches nothing when nothing is.
install_packages() {
    local missing
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # one word per package
    set -- $missing
    command -v apt-get >/dev/null || fail "this machine has no apt-get; install these yourself: $*"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "not root and no sudo; as root: apt-get install $*"
    say "installing $*"
    as_root apt-get -q update >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" >&2
}

# What the package links and what the tests call.
build_packages=(libssl-dev libxxhash-dev libzstd-dev libsqlite3-dev libyaml-dev libcurl4-openssl-dev libssh2-1-dev zlib1g-dev pkg-config libc6-dev gcc make dpkg-dev git python3)
test_packages=(zstd rsync strace openssl)
# What tests start: an S3 gateway with its store, two more S3 servers, SSH servers and a client.
server_packages=(ceph-mon ceph-osd ceph-common radosgw swift-proxy swift-account swift-container swift-object memcached
    python3-moto python3-flask python3-flask-cors openssh-server openssh-client rclone)
