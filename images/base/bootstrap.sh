#!/usr/bin/env bash
# Makes the image that images/base/Dockerfile starts from where no image registry answers: Debian trixie, from the mirror
# that this machine's apt uses. Needs root and debootstrap.
#     images/base/bootstrap.sh opentr/debian:trixie
set -euo pipefail
suite=trixie

fail() { # what happened, what to type next
    printf '%s\n%s\n' "$1" "$2" >&2
    exit 1
}

mirror() { # suffix of the suite's name: prints the address that has this machine's release, with that suffix
    # shellcheck source=/dev/null disable=SC2016 # apt's variables
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk -v name="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")$1" '$2 == name && $3 == "main" { print $1; exit }'
}

[[ $# == 1 && $1 == *:* ]] || { echo "usage: images/base/bootstrap.sh NAME:TAG" >&2 && exit 2; }
((EUID == 0)) || fail "Making a base image from Debian packages needs root." "Type: sudo '$0' '$1'"
[[ -n $(type -P debootstrap) ]] || fail "debootstrap is not installed." "Type: sudo apt-get install debootstrap"
main=$(mirror '') security=$(mirror -security)
[[ -n $main ]] || fail "apt knows no Debian mirror of this machine's release." "Type: sudo apt-get update; then try again."

root=$(mktemp -d)
trap 'rm -rf --one-file-system -- "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,tzdata "$suite" "$root" "$main" >&2
rm -rf "$root"/var/{cache,lib}/apt "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/log/*.log "$root/etc/hostname" \
    "$root/etc/resolv.conf"
mkdir -p "$root"/var/{cache/apt/archives,lib/apt/lists}/partial
{
    echo "deb $main $suite main"
    if [[ -n $security ]]; then echo "deb $security $suite-security main"; fi
} >"$root/etc/apt/sources.list"
tar --create --numeric-owner --one-file-system --directory "$root" . | docker import --change 'CMD ["bash"]' - "$1"
