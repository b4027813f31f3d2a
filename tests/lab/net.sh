# shellcheck shell=bash
# A network laboratory on one machine: switches, clients, real servers, routers and a place for a
# director, each in a network namespace of its own. Source it; it needs root, iproute2 and ethtool.
#
#   lab_begin [PREFIX]                   names the lab, makes $LAB_DIR, removes everything at exit
#   lab_switch NAME                      an Ethernet switch
#   lab_host NAME SWITCH ADDRESS/LENGTH [GATEWAY]
#   lab_real_server NAME SWITCH ADDRESS/LENGTH GATEWAY|- VIP...
#                                        a host that has the VIPs on lo and is silent about them
#   lab_router NAME                      a host that forwards; give it interfaces with lab_attach
#   lab_attach HOST INTERFACE SWITCH [ADDRESS/LENGTH]
#   lab_address6 HOST INTERFACE ADDRESS/LENGTH [GATEWAY]
#                                        switches IPv6 on there
#   lab_director NAME                    a namespace in which the kernel itself stays silent
#   lab_attach_director NAME INTERFACE SWITCH
#   lab_tap NAME INTERFACE TAP [QUEUES]  a tap for a virtual machine, on the wire of an interface
#   lab_run HOST COMMAND...              runs a command in a host
#   lab_spawn HOST LOG COMMAND...        the same in the background; output to $LAB_DIR/LOG.log
#   lab_stop LOG                         ends what lab_spawn started
#   lab_nginx HOST TEXT [PORT...]        a web server whose page is TEXT; takes uploads into /up/
#   lab_vsftpd HOST                      an FTP server for anybody; takes uploads into /up/
#   lab_decapsulate HOST                 takes packets out of every kind of tunnel
#   lab_wait SECONDS COMMAND...          until the command succeeds
#   lab_end                              what runs at exit
#
# Everything is named after the prefix, so any number of labs can run side by side, and the removal
# needs nothing but the prefix: a lab of a killed script goes away with `LAB=... LAB_DIR=... lab_end`.

lab_begin() { # [PREFIX]
  lab_needs_root
  LAB=${1:-sluice$$}
  LAB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/$LAB.XXXXXX")
  chmod 755 "$LAB_DIR"
  trap lab_end EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

lab_needs_root() {
  [ "$(id -u)" = 0 ] && return
  echo "The lab makes network namespaces, which needs root: run it with sudo." >&2
  return 1
}

# What runs in the lab's own namespaces was started by the lab, so it is ended by its id, whoever
# started it; that also reaches what a killed script could no longer end itself.
lab_end() {
  trap '' HUP INT TERM
  local namespace signal _
  for signal in TERM KILL; do
    [ -n "$(lab_pids)" ] || break
    lab_pids | xargs -r kill -"$signal" 2>/dev/null || true
    for _ in $(seq 30); do
      [ -n "$(lab_pids)" ] || break
      sleep 0.1
    done
  done
  for namespace in $(lab_namespaces); do
    ip netns del "$namespace" 2>/dev/null || true
  done
  rm -rf "$LAB_DIR"
}

lab_namespaces() { ip netns list | awk -v lab="$LAB-" 'index($1, lab) == 1 { print $1 }'; }

lab_pids() {
  local namespace
  for namespace in $(lab_namespaces); do ip netns pids "$namespace" 2>/dev/null || true; done
}

lab_run() { # HOST COMMAND...
  local host=$1
  shift
  ip netns exec "$LAB-$host" "$@"
}

# A session of its own: Ctrl-C reaches the script alone, which then ends everything in order.
lab_spawn() { # HOST LOG COMMAND...
  local host=$1 log=$LAB_DIR/$2
  shift 2
  setsid ip netns exec "$LAB-$host" "$@" </dev/null >"$log.log" 2>&1 &
  echo $! >"$log.pid"
}

lab_stop() { # LOG [SIGNAL]
  local pid
  pid=$(cat "$LAB_DIR/$1.pid")
  kill -"${2:-TERM}" "$pid" 2>/dev/null || return 0
  lab_wait 5 lab_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

lab_gone() { ! kill -0 "$1" 2>/dev/null || [ "$(awk '{ print $3 }' "/proc/$1/stat" 2>/dev/null)" = Z ]; }

lab_wait() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

lab_sysctl() { # HOST KEY=VALUE...
  local host=$1 setting
  shift
  for setting in "$@"; do
    # shellcheck disable=SC2016 # expanded by the inner shell
    lab_run "$host" sh -c 'echo "$2" >"/proc/sys/$1"' sh "${setting%%=*}" "${setting#*=}"
  done
}

# A new namespace takes over some settings of the machine and not others; here all that matters is
# said: no IPv6 chatter, no forwarding, no reverse path filter, no redirects.
lab_namespace() { # NAME
  ip netns add "$LAB-$1"
  lab_sysctl "$1" net/ipv4/ip_forward=0 \
    net/ipv4/conf/all/rp_filter=0 net/ipv4/conf/default/rp_filter=0 \
    net/ipv4/conf/all/send_redirects=0 net/ipv4/conf/default/send_redirects=0 \
    net/ipv4/conf/all/arp_ignore=0 net/ipv4/conf/all/arp_announce=0
  if [ -e /proc/sys/net/ipv6 ]; then
    lab_sysctl "$1" net/ipv6/conf/all/disable_ipv6=1 net/ipv6/conf/default/disable_ipv6=1
  fi
  ip -n "$LAB-$1" link set lo up
}

lab_switch() { # NAME
  lab_namespace "$1"
  ip -n "$LAB-$1" link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
  ip -n "$LAB-$1" link set br0 up
}

# Offloads are off at both ends: a director must not meet unfinished checksums, or segments larger
# than the MTU, which exist between two ends of a veth and on no wire.
lab_wire() { # HOST INTERFACE SWITCH
  local port=$1-$2
  port=${port:0:15}
  ip link add "$port" netns "$LAB-$3" type veth peer name "$2" netns "$LAB-$1"
  lab_run "$3" ethtool -K "$port" tx off tso off gso off gro off >/dev/null
  lab_run "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
  ip -n "$LAB-$3" link set "$port" master br0 up
}

lab_attach() { # HOST INTERFACE SWITCH [ADDRESS/LENGTH]
  lab_wire "$1" "$2" "$3"
  [ -z "${4:-}" ] || ip -n "$LAB-$1" addr add "$4" dev "$2"
  ip -n "$LAB-$1" link set "$2" up
}

lab_host() { # NAME SWITCH ADDRESS/LENGTH [GATEWAY]
  lab_namespace "$1"
  lab_attach "$1" eth0 "$2" "$3"
  case "${4:--}" in
    -) ;;
    *) ip -n "$LAB-$1" route add default via "$4" ;;
  esac
}

# Nothing is asked of the network first (no DAD): the address works when this returns.
lab_address6() { # HOST INTERFACE ADDRESS/LENGTH [GATEWAY]
  lab_sysctl "$1" "net/ipv6/conf/$2/accept_dad=0" "net/ipv6/conf/$2/accept_ra=0" \
    "net/ipv6/conf/$2/disable_ipv6=0"
  ip -n "$LAB-$1" addr add "$3" dev "$2" nodad
  [ -z "${4:-}" ] || ip -n "$LAB-$1" -6 route add default via "$4"
}

lab_real_server() { # NAME SWITCH ADDRESS/LENGTH GATEWAY|- VIP...
  local name=$1 vip
  lab_host "$1" "$2" "$3" "$4"
  shift 4
  lab_sysctl "$name" net/ipv4/conf/all/arp_ignore=1 net/ipv4/conf/all/arp_announce=2
  for vip in "$@"; do
    case $vip in
      *:*) lab_address6 "$name" lo "$vip/128" ;;
      *) ip -n "$LAB-$name" addr add "$vip/32" dev lo ;;
    esac
  done
}

lab_router() { # NAME
  lab_namespace "$1"
  lab_sysctl "$1" net/ipv4/ip_forward=1
  [ ! -e /proc/sys/net/ipv6 ] || lab_sysctl "$1" net/ipv6/conf/all/forwarding=1
}

# The director's addresses are the director's, never the kernel's: the kernel answers no ARP here.
lab_director() { # NAME
  lab_namespace "$1"
  lab_sysctl "$1" net/ipv4/conf/all/arp_ignore=8
}

lab_attach_director() { # NAME INTERFACE SWITCH
  lab_attach "$1" "$2" "$3"
  ip -n "$LAB-$1" link set "$2" promisc on
}

lab_tap() { # NAME INTERFACE TAP [QUEUES]: with more than one queue if that is given
  ip -n "$LAB-$1" tuntap add dev "$3" mode tap ${4:+multi_queue}
  ip -n "$LAB-$1" link add "br-$3" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
  ip -n "$LAB-$1" link set "$2" master "br-$3"
  ip -n "$LAB-$1" link set "$3" master "br-$3" up
  ip -n "$LAB-$1" link set "br-$3" up
}

lab_mac() { lab_run "$1" cat "/sys/class/net/$2/address"; } # HOST INTERFACE

lab_nginx() { # HOST TEXT [PORT...]
  local home=$LAB_DIR/$1 port listen=''
  for port in "${@:3}" $([ $# -gt 2 ] || echo 80); do
    listen+="listen $port backlog=4096; "
    [ ! -e /proc/sys/net/ipv6 ] || listen+="listen [::]:$port backlog=4096; "
  done
  mkdir -p "$home/www/up"
  printf '%s\n' "$2" >"$home/www/index.html"
  cat >"$home/nginx.conf" <<CONF
user root;
daemon off;
master_process off;
pid $home/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path $home/body;
  proxy_temp_path $home/proxy;
  fastcgi_temp_path $home/fastcgi;
  uwsgi_temp_path $home/uwsgi;
  scgi_temp_path $home/scgi;
  client_max_body_size 0;
  server {
    $listen
    root $home/www;
    add_header X-Client \$remote_addr;
    location /up/ { dav_methods PUT; }
  }
}
CONF
  lab_spawn "$1" "$1-nginx" "$(lab_nginx_program)" -p "$home" -e stderr -c "$home/nginx.conf"
  lab_wait 10 lab_run "$1" curl -sf -m 1 "http://127.0.0.1:$port/" || {
    echo "nginx does not answer in $1:" >&2
    cat "$LAB_DIR/$1-nginx.log" >&2
    return 1
  }
}

lab_nginx_program() { command -v nginx || echo /usr/sbin/nginx; }

# Alone in its own network it may as well give up its isolation, which would leave the lab's reach.
lab_vsftpd() { # HOST
  local home=$LAB_DIR/$1 listen=listen=YES
  [ ! -e /proc/sys/net/ipv6 ] || listen=listen_ipv6=YES
  mkdir -p "$home/ftp/up" "$home/empty"
  chown ftp "$home/ftp/up"
  cat >"$home/vsftpd.conf" <<CONF
$listen
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=$home/ftp
write_enable=YES
anon_upload_enable=YES
anon_umask=022
connect_from_port_20=YES
secure_chroot_dir=$home/empty
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
CONF
  lab_spawn "$1" "$1-vsftpd" "$(command -v vsftpd || echo /usr/sbin/vsftpd)" "$home/vsftpd.conf"
  lab_wait 10 lab_run "$1" curl -sf -m 1 ftp://127.0.0.1/ || {
    echo "vsftpd does not answer in $1:" >&2
    cat "$LAB_DIR/$1-vsftpd.log" >&2
    return 1
  }
}

# Machines without the kernel's tunnel modules must do, so a program takes the packets out. What it
# has to say is in $LAB_DIR/HOST-tunnel.log.
lab_decapsulate() { # HOST
  local here
  here=$(dirname "${BASH_SOURCE[0]}")
  ip -n "$LAB-$1" tuntap add dev tun0 mode tun
  [ ! -e /proc/sys/net/ipv6 ] || lab_sysctl "$1" net/ipv6/conf/tun0/disable_ipv6=0
  ip -n "$LAB-$1" link set tun0 up
  lab_spawn "$1" "$1-tunnel" python3 "$here/decapsulate.py" tun0 6080
  lab_wait 10 grep -q '^ready' "$LAB_DIR/$1-tunnel.log"
}

# Frames seen by a host's interface, as tcpdump prints them, in $LAB_DIR/LOG.log until lab_stop LOG.
lab_capture() { # HOST LOG INTERFACE FILTER...
  local host=$1 log=$2 interface=$3
  shift 3
  lab_spawn "$host" "$log" "$(command -v tcpdump || echo /usr/sbin/tcpdump)" \
    --immediate-mode -p -nn -e -l -i "$interface" "$@"
  lab_wait 5 grep -q 'listening on' "$LAB_DIR/$log.log"
}
