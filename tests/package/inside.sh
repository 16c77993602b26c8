#!/bin/bash
# Inside a Debian that may be thrown away (see run): installs the package, uses it, upgrades, removes and purges it.
# inside.sh PACKAGE NEXT-PACKAGE; "systemd" runs or does not, and what only it can show is said to be skipped.
set -u
package=$1 next=$2
passed=0 failed=0 skipped=0
conf=/etc/sallyport/sallyport.conf
check() { # TITLE COMMAND...
    local title=$1 out
    shift
    if out=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$title"
        printf '%s\n' "$out" | sed 's/^/        /'
    fi
}
skip() { skipped=$((skipped + 1)); echo "SKIPPED $1"; }
is() { [ "$1" = "$2" ] || { echo "is \"$1\", should be \"$2\""; return 1; }; }
not() { ! "$@"; }
under_systemd() { [ -d /run/systemd/system ]; }
eventually() { # COMMAND...: within 10 seconds
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { "$@"; return 1; }
        sleep 0.1
    done
}
install_it() { DEBIAN_FRONTEND=noninteractive dpkg --install --force-confdef "$1" </dev/null; }
owner() { stat -c '%U:%G %a' "$1"; }

proxy= # without systemd: the process that was started here
start_it() {
    if under_systemd; then systemctl start sallyport; return; fi
    install -d -o sallyport -g sallyport /run/sallyport /var/log/sallyport
    setpriv --reuid=sallyport --regid=sallyport --init-groups /usr/sbin/sallyport run -c $conf >/tmp/proxy.log 2>&1 &
    proxy=$!
}
stop_it() {
    if under_systemd; then systemctl stop sallyport 2>/dev/null; return; fi
    [ -z "$proxy" ] || { kill "$proxy"; wait "$proxy"; }
    proxy=
}
fetch() { is "$(curl -s -o /dev/null -w '%{http_code}' -x http://127.0.0.1:3128 "${@:2}" http://127.0.0.1:8000/page)" "$1"; }
complete_for() { # WORD...: what bash offers behind them, on one line
    (
        . /usr/share/bash-completion/completions/sallyport
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _sallyport
        printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
    )
}
completes() { # WANTED WORD...
    local wanted=$1 got
    shift
    got=$(complete_for "$@")
    case " $got" in *" $wanted "*) ;; *) echo "offered: $got"; return 1 ;; esac
}

mkdir -p /tmp/site && echo page >/tmp/site/page
busybox httpd -f -p 127.0.0.1:8000 -h /tmp/site &
origin=$!
trap 'kill $origin; stop_it' EXIT

# ---- a first installation ----
check "the package installs" install_it "$package"
for library in libldap libgssapi-krb5 libssl; do
    check "it depends on $library" sh -c "dpkg-query -W -f '\${Depends}' sallyport | grep -q $library"
done
check "its user exists" getent passwd sallyport
check "its user has no shell" is "$(getent passwd sallyport | cut -d: -f7)" /usr/sbin/nologin
check "the password file is the proxy's to read, and nobody else's" is "$(owner /etc/sallyport/backends/users.htpasswd)" "root:sallyport 640"
check "the configuration is root's" is "$(owner $conf)" "root:root 644"
check "the configuration as shipped is well" setpriv --reuid=sallyport --regid=sallyport --init-groups sallyport check -c $conf
check "doctor finds it well" sallyport doctor -c $conf
check "a page for sallyport(8)" test -s /usr/share/man/man8/sallyport.8.gz
check "a page for sallyport.conf(5)" test -s /usr/share/man/man5/sallyport.conf.5.gz
check "every plugin loads" sh -c 'test "$(ls /usr/lib/sallyport/*.so | wc -l)" -eq 3 && sallyport version'
check "nothing half installed" is "$(dpkg --audit)" ""

# ---- completion ----
for command in run check login doctor why ctl version help; do
    check "bash offers $command" completes $command sallyport ''
done
check "bash offers ctl's words" completes reload sallyport ctl ''
check "bash offers login's flags" completes --negotiate sallyport login --n
check "bash offers the backends" completes local sallyport login --backend ''
check "bash offers a file behind -c" completes $conf sallyport check -c $conf

# ---- used ----
printf 'alice:%s\n' "$(openssl passwd -6 -stdin <<<wonderland)" >>/etc/sallyport/backends/users.htpasswd
printf '%s\n' 'rule "here" { action = "allow"  to = {"127.0.0.1"}  ports = {"8000"} }' >>$conf
sed -i 's|access = "-"|access = "/var/log/sallyport/access.log"|' $conf
check "the changed configuration is well" sallyport check -c $conf
if under_systemd; then
    check "the service was started, and is enabled" systemctl is-active sallyport
    check "it is enabled" systemctl is-enabled sallyport
    check "the service reloads" systemctl reload sallyport
    check "the service restarts" systemctl restart sallyport
else
    skip "the unit: systemd does not run here"
    start_it
fi
check "a page with a password" eventually fetch 200 -U alice:wonderland
check "407 without" fetch 407
check "407 with a wrong one" fetch 407 -U alice:looking-glass
check "ctl answers root" sallyport ctl stats
check "the log is written" eventually grep -q '"user":"alice"' /var/log/sallyport/access.log
check "no password in it" not grep -rq wonderland /var/log/sallyport
if under_systemd; then
    pid=$(systemctl show -p MainPID --value sallyport)
    check "it runs as its user" is "$(stat -c %U "/proc/$pid")" sallyport
    cp $conf /tmp/conf.good
    echo 'rules = 5' >>$conf
    check "a reload with a fault in the file fails" not systemctl reload sallyport
    check "the journal says where the fault is" sh -c "journalctl -u sallyport -o cat | grep -q '^$conf:[0-9]*: .*rules'"
    check "the old configuration serves on" fetch 200 -U alice:wonderland
    cp /tmp/conf.good $conf
    check "a reload of the mended file succeeds" systemctl reload sallyport
    check "no capability is left to it" is "$(sed -n 's/^CapEff:\t//p' "/proc/$pid/status")" 0000000000000000
fi

# ---- logrotate ----
if command -v logrotate >/dev/null; then
    chown root:root /etc/logrotate.d/sallyport
    check "logrotate turns the log" logrotate --force --state /tmp/rotate.state /etc/logrotate.d/sallyport
    under_systemd || kill -USR1 "$proxy"
    check "the old log was put aside" test -s /var/log/sallyport/access.log.1
    check "the new log is written" eventually sh -c "curl -s -o /dev/null -x http://127.0.0.1:3128 http://127.0.0.1:8000/page; test -s /var/log/sallyport/access.log"
else
    skip "logrotate is not installed"
fi

# ---- upgraded ----
cp $conf /tmp/conf.before
cp /etc/sallyport/backends/users.htpasswd /tmp/users.before
if under_systemd; then
    (while [ ! -e /tmp/enough ]; do curl -s -o /dev/null -w '%{http_code} %{exitcode}\n' -U alice:wonderland -x http://127.0.0.1:3128 http://127.0.0.1:8000/page; done) >/tmp/meanwhile &
    asking=$!
fi
check "the next version installs" install_it "$next"
check "the administrator's configuration is as it was" cmp $conf /tmp/conf.before
check "and so are the accounts" cmp /etc/sallyport/backends/users.htpasswd /tmp/users.before
check "and who may read them" is "$(owner /etc/sallyport/backends/users.htpasswd)" "root:sallyport 640"
check "the next version is there" is "$(dpkg-query -W -f '${Version}' sallyport)" "$(dpkg-deb -f "$next" Version)"
if under_systemd; then
    check "the service was restarted" not is "$(systemctl show -p MainPID --value sallyport)" "$pid"
    check "it serves" eventually fetch 200 -U alice:wonderland
    touch /tmp/enough
    wait $asking
    check "nobody was turned away by the upgrade" is "$(sort /tmp/meanwhile | uniq -c | sed 's/^ *[0-9]* //')" "200 0"
fi
check "nothing half installed after it" is "$(dpkg --audit)" ""

# ---- removed, and purged ----
under_systemd || stop_it
check "the package goes" dpkg --remove sallyport
check "the configuration stays" cmp $conf /tmp/conf.before
check "nobody listens" not fetch 407
check "it comes back" install_it "$package"
check "with the configuration that there was" cmp $conf /tmp/conf.before
check "with who may read the accounts" is "$(owner /etc/sallyport/backends/users.htpasswd)" "root:sallyport 640"
check "the package goes for good" dpkg --purge sallyport
check "no configuration stays" not test -e $conf
check "no log stays" not test -e /var/log/sallyport
check "no unit stays" not test -e /etc/systemd/system/multi-user.target.wants/sallyport.service

[ $skipped -eq 0 ] || echo "$skipped skipped"
echo "package: $passed passed, $failed failed"
[ $failed -eq 0 ]
