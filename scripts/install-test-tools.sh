#!/bin/sh
# Programs that some tests run and pip cannot install; a test whose program is missing is skipped
# by name. Debian and Ubuntu, as root.
set -eu

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "install-test-tools.sh: needs root and apt-get; install by hand: chromium gcc g++ cmake" \
        "nlohmann-json3-dev libstb-dev libonnxruntime-dev adb mksh toybox" \
        "qemu-user-static openssh-server debian-archive-keyring strace zsh fish tcsh postgresql" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q

# tests/report: report.html is opened in a real browser
apt-get install -q -y --no-install-recommends chromium

# tests/agent: the recording of libcudart is compiled
apt-get install -q -y --no-install-recommends gcc libc6-dev

# tests/transport, tests/measure: adb's client and server, and Android's shell and tools for a phone
apt-get install -q -y --no-install-recommends adb mksh toybox

# tests/devices: a userland of 64-bit Arm; the way into it and into boards of tests/transport
apt-get install -q -y --no-install-recommends qemu-user-static openssh-server openssh-client \
    debian-archive-keyring

# tests/push: the system calls of a push are recorded
apt-get install -q -y --no-install-recommends strace

# tests/transport: login shells whose start-up files are in the way
apt-get install -q -y --no-install-recommends zsh fish tcsh

# tests/optimize: a server of a database that several searches share
apt-get install -q -y --no-install-recommends postgresql

# tests/contract: the examples in C++ are compiled
apt-get install -q -y --no-install-recommends g++ cmake nlohmann-json3-dev libstb-dev

# The same, for ONNX Runtime, whose library comes with its Python package. Debian has its headers
# from 13 on; Debian 12 takes them, and nothing else, of the package of 13.
onnxruntime_headers() {
    sources=/etc/apt/sources.list.d/debian.sources
    grep -qs bookworm "$sources" || return 0
    folder="$(mktemp -d)"
    mkdir "$folder/sources" "$folder/lists" "$folder/cache"
    sed s/bookworm/trixie/g "$sources" >"$folder/sources/debian.sources"
    newer="-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$folder/sources"
    newer="$newer -o Dir::State::Lists=$folder/lists -o Dir::Cache=$folder/cache"
    # shellcheck disable=SC2086
    if apt-get $newer update -q && (cd "$folder" && apt-get $newer download libonnxruntime-dev); then
        dpkg-deb -x "$folder"/libonnxruntime-dev_*.deb "$folder/package"
        mkdir -p /usr/local/include
        cp -r "$folder/package/usr/include/onnxruntime" /usr/local/include/
    fi
    rm -rf "$folder"
}
apt-get install -q -y --no-install-recommends libonnxruntime-dev || onnxruntime_headers
