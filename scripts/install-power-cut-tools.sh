#!/bin/sh
# What benchmarks/power_cut.py needs: qemu, busybox, makers and checkers of file systems, and a
# kernel of Debian's, which is unpacked into FOLDER and not installed. Debian and Ubuntu, as root.
#
#     scripts/install-power-cut-tools.sh FOLDER
set -eu

if [ $# -ne 1 ] || [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "install-power-cut-tools.sh FOLDER: needs root, apt-get and a folder for the kernel; by" \
        "hand: qemu-system-x86 busybox-static openssh-server e2fsprogs f2fs-tools dosfstools, and" \
        "linux-image-amd64 unpacked by 'dpkg -x'" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends qemu-system-x86 busybox-static e2fsprogs f2fs-tools \
    dosfstools openssh-server openssh-client

folder=$(mkdir -p "$1" && cd "$1" && pwd)
# The package whose name has no version depends on the one that holds the files.
image=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
(cd "$download" && apt-get download -q -o APT::Sandbox::User=root "$image")
dpkg -x "$download"/linux-image-*.deb "$folder"
