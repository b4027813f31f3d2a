#!/usr/bin/env bash
# serve.sh PREFIX: a lab for a program. Prints "dir PATH", then runs each line of standard input as
# a command (the functions of net.sh) and prints "ok" or "failed STATUS" for it; what the command
# prints goes to standard error. The lab lives until the input ends, however the other side ended.
set -uo pipefail
# shellcheck source=tests/lab/net.sh
source "$(dirname "${BASH_SOURCE[0]}")/net.sh"

# The program at the other end may die while a command runs: then an answer finds no reader.
trap 'exit 141' PIPE
lab_begin "$1" || exit 1
echo "dir $LAB_DIR"
while IFS= read -r line; do
  (
    set -e
    eval "$line"
  ) </dev/null >&2
  status=$?
  if [ $status = 0 ]; then echo ok; else echo "failed $status"; fi
done
