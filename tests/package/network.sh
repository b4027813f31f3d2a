#!/bin/sh
# A client and a server, each a network namespace on a wire of its own to the director, which
# translates between them (NAT). Run in the container; writes the director's configuration.
set -e
wire() { # HOST DIRECTOR'S_INTERFACE ADDRESS GATEWAY
  ip netns add "$1"
  ip link add "$2" type veth peer name eth0 netns "$1"
  ip link set "$2" up
  ip -n "$1" address add "$3/24" dev eth0
  ip -n "$1" link set lo up
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via "$4"
  ethtool -K "$2" tx off tso off gso off gro off >/dev/null
  ip netns exec "$1" ethtool -K eth0 tx off tso off gso off gro off >/dev/null
}
wire client front 10.0.1.2 10.0.1.1
wire server back 10.0.2.2 10.0.2.1
mkdir -p /srv/http
echo hello >/srv/http/index.html
ip netns exec server busybox httpd -p 80 -h /srv/http

# The director's own pace for the tests: the watchdog's time is short.
mkdir -p /run/systemd/system/sluiced.service.d
printf '[Service]\nWatchdogSec=3\n' >/run/systemd/system/sluiced.service.d/test.conf
systemctl daemon-reload
cat >/root/sluice.yaml <<'YAML'
eal: { memory: 128M }
flows: { max: 65536 }
ports:
  - { name: front, device: "net_af_packet0,iface=front", addresses: [10.0.1.1/24] }
  - { name: back, device: "net_af_packet1,iface=back", addresses: [10.0.2.1/24] }
services: |
  -A -t 10.0.1.100:80 -s wlc
  -a -t 10.0.1.100:80 -r 10.0.2.2 -m -w 1
YAML
