# Sourced by tests/run and tests/rig/demo: installs what is missing, by apt-get, and says so. Debian 12.

BUILD_PACKAGES="gcc cmake ninja-build pkg-config libc6-dev libuv1-dev libldap-dev libsasl2-dev libkrb5-dev node-llhttp
libconfuse-dev libc-ares-dev libssl-dev libcrypt-dev libjansson-dev libcap-ng-dev libseccomp-dev libcmocka-dev"
RIG_PACKAGES="slapd ldap-utils libsasl2-modules-gssapi-mit krb5-kdc krb5-admin-server krb5-user gss-ntlmssp nginx curl
openssl iproute2 util-linux python3 python3-gssapi"
TEST_PACKAGES="clang clang-format libclang-rt-14-dev llvm socat ncat wrk
strace adduser busybox logrotate systemd python3-seccomp haproxy file dpkg-dev make"
# What tests/clients runs, as it is to be in every run of all tests; and what is too large for that.
CLIENT_PACKAGES="wget aria2 git socat ncat chromium libnss3-tools python3-requests python3-gi gir1.2-soup-3.0 glib-networking
libwww-perl rsync apt dpkg"
HEAVY_CLIENT_PACKAGES="openjdk-17-jdk-headless firefox-esr"
# What tests/kernel/run boots Debian's kernel with.
KERNEL_PACKAGES="qemu-system-x86 kmod cpio busybox"
NPM_CLIENTS="undici@6 https-proxy-agent@7 http-proxy-agent@7 axios@1"

need_packages() {
    local missing=() package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]}, and there is no apt-get here to install them with" >&2
        return 1
    fi
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    echo "installing with apt-get: ${missing[*]}"
    # Debian starts a server as soon as its package is installed; the rig starts its own. A policy that says no stands
    # for the length of the installation, unless the machine has one already.
    local policy=/usr/sbin/policy-rc.d own_policy=
    if [ ! -e $policy ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null && "${as_root[@]}" chmod 755 $policy
    fi
    local status=0
    "${as_root[@]}" apt-get update -q &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null ||
        status=$?
    [ -z "$own_policy" ] || "${as_root[@]}" rm -f $policy
    [ $status -eq 0 ] || echo "apt-get did not succeed (status $status)" >&2
    return $status
}
