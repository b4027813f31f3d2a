# shellcheck shell=bash
# How the demo shows and checks things: steps, commands as typed, claims about what they printed.

STEP='' OUT='' LAST='' LISTED=0
PROVED=() PROVED_STEP='' CLAIMED=0

step() { # TITLE
  STEP=$1
  printf '\n== %s\n' "$1"
}

typed() { printf '\n[%s]# %s\n' "$1" "$2"; } # HOST COMMAND

# Runs a command line in a host, shows both, keeps what it printed in OUT.
on() { # HOST COMMAND
  local status=0
  typed "$1" "$2"
  LAST="[$1]# $2"
  OUT=$(lab_run "$1" bash -o pipefail -c "$2" 2>&1) || status=$?
  [ -z "$OUT" ] || printf '%s\n' "$OUT"
  [ $status = 0 ] || fail "the command ended with exit code $status"
}

# Gives what a command shows some time to become what the next claim says; no claim by itself.
settle() { # SECONDS HOST COMMAND REGEXP
  local end=$((SECONDS + $1))
  until lab_run "$2" bash -c "$3" 2>&1 | grep -Eq -- "$4"; do
    [ $SECONDS -lt $end ] || return 0
    sleep 0.2
  done
}

captured() { # LOG
  LAST="what tcpdump saw ($1)"
  OUT=$(grep -E '^[0-9:.]+ ' "$LAB_DIR/$1.log" || true)
  head -n 6 <<<"$OUT"
  [ "$(wc -l <<<"$OUT")" -le 6 ] || echo "... $(wc -l <<<"$OUT") frames in all"
}

# A claim is a sentence and the command that proves it, mostly about OUT.
claim() { # SENTENCE COMMAND...
  local sentence=$1
  shift
  "$@" || fail "not true: $sentence"
  printf '   ok: %s\n' "$sentence"
  CLAIMED=$((CLAIMED + 1))
  [ "$STEP" = "$PROVED_STEP" ] || PROVED+=("$STEP")
  PROVED_STEP=$STEP
  PROVED+=("  - $sentence")
}

printed() { grep -Eq -- "$1" <<<"$OUT"; } # REGEXP
not_printed() { [ -n "$OUT" ] && ! printed "$1"; } # REGEXP
printed_times() { [ "$(grep -Ec -- "$2" <<<"$OUT")" = "$1" ]; } # TIMES REGEXP
printed_lines() { [ "$OUT" = "$(printf '%s\n' "$@")" ]; } # LINE...

pages() { # COUNT SERVER ...
  while [ $# -gt 0 ]; do
    printed_times "$1" "^page of $2 at " || return 1
    shift 2
  done
}

alternating() { awk '$3 == last { bad = 1 } { last = $3 } END { exit bad }' <<<"$OUT"; }

# Both servers took part, and together they have this many connections, active and inactive: LISTED.
listed_connections() { # LEAST MOST
  LISTED=$(awk '$1 == "->" && $2 ~ /^10\./ { n = $5 + $6; sum += n; if (n == 0) idle = 1 }
    END { print idle ? 0 : sum + 0 }' <<<"$OUT")
  [ "$LISTED" -ge "$1" ] && [ "$LISTED" -le "$2" ]
}

fail() { # MESSAGE
  {
    printf '\nFAILED in step "%s": %s\n' "$STEP" "$1"
    [ -z "$LAST" ] || printf -- '-- after: %s\n%s\n' "$LAST" "$OUT"
    evidence
  } >&2
  exit 1
}

evidence() {
  local command
  echo "-- the end of sluiced's own messages"
  tail -n 40 "$LAB_DIR/sluiced.log" 2>/dev/null || echo "(it was not started)"
  for command in "sluiceadm -Ln" "sluiceadm -Lnc" "sluicectl ports" "sluicectl neigh" "sluicectl drops"; do
    echo "-- $command"
    # shellcheck disable=SC2086 # a command line
    timeout 5 $command 2>&1 | head -n 20 || true
  done
  echo "-- ip neigh, in the client"
  lab_run client ip neigh 2>&1 || true
}

summary() {
  printf '\n== What this showed\n'
  printf '%s\n' "${PROVED[@]}"
  printf '%s claims, all true.\n' "$CLAIMED"
}

# The end of every run, good or bad.
finish() {
  local status=$?
  if [ "$status" = 0 ] && [ -n "${KEEP:-}" ] && [ "${KEEP}" != 0 ]; then
    keep
  else
    lab_end
  fi
  exit "$status"
}

keep() {
  cat >"$LAB_DIR/leave" <<SH
#!/usr/bin/env bash
set -euo pipefail
source $(printf '%q' "$here/tests/lab/net.sh")
LAB=$LAB LAB_DIR=$LAB_DIR
lab_end
echo "removed: $LAB"
SH
  chmod +x "$LAB_DIR/leave"
  cat <<TEXT

The network stays up. Hosts: client rs1 rs2 rs3 rs4 router director (switches: lan backend inside).
  enter a host:        sudo ip netns exec $LAB-client bash
  talk to the director: export PATH=$programs:\$PATH SLUICE_SOCKET=$SLUICE_SOCKET
                       sluiceadm -Ln; sluicectl status
  its messages:        $LAB_DIR/sluiced.log
  leave:               make demo-clean   (or sudo $LAB_DIR/leave)
TEXT
}
