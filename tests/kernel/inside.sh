#!/bin/bash
# What tests/kernel/run does under the guest's kernel: inside.sh BUILD, in the folder of the sources. What is said goes to /mnt/said too.
set -uo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 SP_KERNEL_TLS=1
build=$1 status=0
mkdir -p /usr/lib/modules /tmp/tls/tests/unit
mount --bind /mnt/kernel/lib/modules /usr/lib/modules && modprobe aesni_intel && modprobe tls && ip link set lo up || exit 1
ln -s "$PWD/$build"/tests/unit/unit_net_test_tls* /tmp/tls/tests/unit/
/usr/bin/python3 tests/rig/units.py /tmp/tls 10 || status=1
/usr/bin/python3 tests/scenario/run.py --build "$build" --patience 10 --jobs 2 test_tls || status=1
exit $status
