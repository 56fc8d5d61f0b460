#!/usr/bin/env bash
# Drives a key with curl alone: looks at it, sets who touches it, puts a passkey in, reads what
# happened. Needs curl, jq and openssl, and a roamkey that runs; no browser and no root.
#
#     roamkey exec --key default -- ./passkey.sh
#
# Environment, as `roamkey exec` sets it:
#   ROAMKEY_CONTROL             the control plane's socket, or else
#   ROAMKEY_URL, ROAMKEY_TOKEN  its address over TCP (http://127.0.0.1:PORT/v1), and what it wants
#   KEY                         the key, by its name or bus id (the first)
set -euo pipefail

fail() { printf 'passkey.sh: %s\n' "$*" >&2; exit 1; }

for program in curl jq openssl; do
    command -v "$program" >/dev/null || fail "$program is missing: apt-get install $program"
done

# For another user than its own `roamkey exec --user` gives the address there.
if [ -S "${ROAMKEY_CONTROL:-}" ]; then
    url=http://roamkey/v1
    reach=(--unix-socket "$ROAMKEY_CONTROL")
elif [ -n "${ROAMKEY_URL:-}" ] && [ -n "${ROAMKEY_TOKEN:-}" ]; then
    url=$ROAMKEY_URL
    reach=(--noproxy '*')
else
    fail "set ROAMKEY_CONTROL, or ROAMKEY_URL and ROAMKEY_TOKEN; or run this under: roamkey exec --"
fi

# METHOD PATH [JSON]: prints the answer, and fails with what the control plane said. The token
# goes by a file descriptor, since every user of the machine can read arguments.
api() {
    local method=$1 path=$2 answer status body=()
    [ $# -lt 3 ] || body=(--json "$3")
    answer=$(curl --silent --show-error --max-time 20 "${reach[@]}" --request "$method" \
        --header @<(printf 'Authorization: Bearer %s\n' "${ROAMKEY_TOKEN:-none}") \
        "${body[@]}" --write-out '\n%{http_code}' "$url/$path")
    status=${answer##*$'\n'}
    answer=${answer%$'\n'*}
    case $status in
        2*) printf '%s\n' "$answer" ;;
        *) fail "$method $path: $status, $(jq --raw-output .detail <<<"$answer" || echo "$answer")" ;;
    esac
}

# is WHAT WANTED FOUND
is() { [ "$2" = "$3" ] || fail "$1 should be $2, and is $3"; printf 'ok   %s is %s\n' "$1" "$3"; }

since=$(api GET server | jq .last_event)

# The key.
keys=$(api GET keys)
[ "$(jq '.keys | length' <<<"$keys")" -gt 0 ] || fail "there is no key"
key=${KEY:-$(jq --raw-output '.keys[0] | .name // .bus_id' <<<"$keys")}
api GET "keys/$key" |
    jq --raw-output '"key  \(.name // .bus_id), profile \(.profile), \(.passkeys) passkeys"'
before=$(api GET "keys/$key" | jq .passkeys)

# Who touches it: for one site it is approved, for all others refused.
api PUT "keys/$key/touch-policy" '{"touch": "auto", "sites": ["example.com"]}' >/dev/null
touch=$(api GET "keys/$key" | jq --compact-output '[.touch.touch, .touch.sites, .touch.others]')
is "the touch policy" '["auto",["example.com"],"deny"]' "$touch"

# A passkey that a site knows, put in with its counter, found, and taken out.
pkcs8=$(openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 |
    openssl pkcs8 -topk8 -nocrypt -outform DER | base64 --wrap=0)
passkey=$(jq --null-input --arg key "$pkcs8" --arg handle "$(openssl rand -hex 16)" '{
    rp_id: "example.com", user_handle: $handle, user_name: "alice", private_key: $key, counter: 41
}')
api POST "keys/$key/passkeys" "$passkey" >/dev/null
found=$(api GET "keys/$key/passkeys" |
    jq '[.passkeys[] | select(.rp_id == "example.com" and .user_name == "alice")]')
is "how many passkeys alice has" 1 "$(jq length <<<"$found")"
id=$(jq --raw-output '.[0].id' <<<"$found")
is "how many passkeys are on the key" $((before + 1)) "$(api GET "keys/$key" | jq .passkeys)"
api PATCH "keys/$key/passkeys/$id" '{"counter": 99}' >/dev/null
is "the counter that is durable" 99 "$(api GET "keys/$key/passkeys/$id" | jq .counter_ceiling)"
api DELETE "keys/$key/passkeys/$id" >/dev/null
is "how many passkeys are on the key" "$before" "$(api GET "keys/$key" | jq .passkeys)"

# What happened since this began. /v1/events?after=N streams the same, without an end.
events=$(api GET "events/last?count=50" |
    jq --argjson since "$since" '[.events[] | select(.sequence > $since)]')
jq --raw-output '.[] | "event \(.sequence) \(.event) \(.key // "")"' <<<"$events"
[ "$(jq length <<<"$events")" -gt 0 ] || fail "nothing of all that is in the events"
printf 'all passed\n'
