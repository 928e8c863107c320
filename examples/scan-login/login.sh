#!/usr/bin/env bash
# Logs a person in at a command line: shows a code, and prints the token once the person's phone has approved it. Needs curl and
# jq; with qrencode the code is a picture, otherwise a link. The client is public (`wxmint clients add … --public`).
#
#     token=$(ISSUER=https://login.example.com CLIENT_ID=shop-cli ./login.sh)
set -euo pipefail
: "${ISSUER:?set it to the URL of wxmint, such as https://login.example.com}" "${CLIENT_ID:?set it to a client_id of WXMINT_CLIENTS_FILE}"

# say ENGLISH CHINESE: for the person. Standard output is for the token alone.
say() {
  case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in zh*) printf '%s\n' "$2" ;; *) printf '%s\n' "$1" ;; esac >&2
}

# ask PATH FORM: sets status (000 without an answer), after (the Retry-After) and answer. By standard input, because everybody on
# the machine can read a command's arguments.
ask() {
  local said
  said=$(curl --silent --include --suppress-connect-headers --max-time 10 --data @- "$ISSUER$1" <<<"$2" | tr -d '\r') || true
  read -r _ status _ <<<"$said" || true
  : "${status:=000}"
  after=$(sed -n '1,/^$/s/^[Rr]etry-[Aa]fter: *\([0-9]*\)$/\1/p' <<<"$said")
  answer=$(sed '1,/^$/d' <<<"$said")
}

# of NAME: a member of the answer, or nothing; also where the answer is no JSON.
of() { jq -r ".$1 // empty" <<<"$answer" 2>/dev/null || true; }

fail() {
  say "$1" "$2"
  exit 1
}

ask /device_authorization "client_id=$CLIENT_ID"
device_code=$(of device_code)
[ "$status" != 000 ] || fail "$ISSUER does not answer." "$ISSUER 没有响应。"
[ -n "$device_code" ] || fail "wxmint gives no code: $status $(of error)$(of code) $(of error_description)$(of detail)" "wxmint 没有返回码：$status $(of error)$(of code) $(of error_description)$(of detail)"
uri=$(of verification_uri_complete) match=$(of match) interval=$(of interval) life=$(of expires_in) lost=0 scanned=
: "${interval:=5}"
# In arithmetic, the shell would run a command that it finds in a text.
[[ $interval:$life =~ ^[0-9]+:[0-9]+$ ]] || fail "wxmint's answer has times that are no numbers." 'wxmint 返回的时间不是数字。'
end=$((SECONDS + life))

if command -v qrencode >/dev/null; then qrencode -t ANSIUTF8 "$uri" >&2; fi
say "Scan with WeChat, or open $uri" "用微信扫码，或打开 $uri"
[ -z "$match" ] || say "Tap this number on your phone: $match" "在手机上点这个数字：$match"

# RFC 8628, section 3.5: 5 s more after each slow_down, twice the time after each question that nobody answers.
while :; do
  wait=$((interval << lost))
  [ "${after:-0}" -le "$wait" ] || wait=$after
  [ $((SECONDS + wait)) -lt "$end" ] || fail 'The code has expired. Run this again.' '码已过期，请重新运行。'
  sleep "$wait"
  ask /token "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=$device_code&client_id=$CLIENT_ID"
  case $status:$(of error) in
    200:)
      of access_token | grep . # an empty token is a failure
      break
      ;;
    *:authorization_pending)
      lost=0
      if [ -z "$scanned" ] && [ "$(of scanned)" = true ]; then
        scanned=true
        say 'Scanned. Confirm on your phone.' '已扫码，请在手机上确认。'
      fi
      ;;
    *:slow_down) interval=$((interval + 5)) ;;
    *:access_denied) fail 'The login was not approved on the phone.' '手机上没有同意登录。' ;;
    *:expired_token) fail 'The code has expired. Run this again.' '码已过期，请重新运行。' ;;
    000:* | 429:* | 5??:*) lost=$((lost + 1)) ;;
    *) fail "wxmint refuses: $status $(of error) $(of error_description)" "wxmint 拒绝：$status $(of error) $(of error_description)" ;;
  esac
done
