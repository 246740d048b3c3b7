# Shared by the servers: where things live, ports, and one process a node.
# A node is a folder $CLUSTER_HOME/SERVER/N with its settings, data, log, ports, pid, and the script `run` that starts it.
# Each server's file defines: SERVER_fetch, SERVER_create, SERVER_ready NODE, SERVER_address, SERVER_env.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/millrace
CLUSTER_HOME=$(realpath -m "${CLUSTER_HOME:-$cache/cluster}")
CLUSTER_JARS=$(realpath -m "${CLUSTER_JARS:-$cache/jars}")
READY_SECONDS=${READY_SECONDS:-180}
server="" # the server in hand; set by the callers of what follows

die() { echo "cluster: $*" >&2; exit 1; }

# One changing command at a time for a CLUSTER_HOME. The servers do not inherit the lock: they are started with 9>&-.
lock() {
  mkdir -p "$CLUSTER_HOME"
  exec 9>"$CLUSTER_HOME/.lock"
  flock -w 600 9 || die "another cluster command holds $CLUSTER_HOME/.lock"
}

node() { echo "$CLUSTER_HOME/$server/$1"; }
nodes() { [[ ! -d $CLUSTER_HOME/$server ]] || find "$CLUSTER_HOME/$server" -mindepth 1 -maxdepth 1 -name '[1-9]' | sort; }
port() { sed -n "${2:-1}p" "$1/ports"; }

port_taken() { grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F:]+ 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null; }

# free_ports COUNT: prints the first of COUNT adjacent free ports. They lie below the range that the kernel hands out to
# outgoing connections, so that a port stays free while its node is down.
free_ports() {
  local first offset
  for _ in {1..100}; do
    first=$((15000 + (RANDOM * 32768 + RANDOM) % 16000))
    for ((offset = 0; offset < $1; offset++)); do ! port_taken $((first + offset)) || continue 2; done
    echo "$first"
    return
  done
  die "no $1 free ports in a row"
}

# write_run NODE JAVA_ARGS...: the node's folder stands in the arguments of its process; node_pid looks for it there.
write_run() {
  local dir=$1
  shift
  { echo '#!/usr/bin/env bash'; echo "cd $(printf %q "$dir") && exec $(printf '%q ' "$JAVA" "-Dmillrace.node=$dir/" "$@")"; } >"$dir/run"
}

# node_pid NODE: prints the process id if that process is there and is this node's, for ids are used again.
node_pid() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && grep -qaF -e "$1/" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

# node_launch NODE: starts it in a session of its own, so that no Ctrl-C of a terminal reaches it.
node_launch() {
  local dir=$1 taken
  ! node_pid "$dir" >/dev/null || return 0
  while read -r taken; do
    ! port_taken "$taken" || die "port $taken of $server ${dir##*/} is taken: end what uses it, or cluster wipe $server"
  done <"$dir/ports"
  touch "$dir/log"
  stat -c %s "$dir/log" >"$dir/log.mark"
  rm -f "$dir/pid"
  # shellcheck disable=SC2016 # expands in the inner shell
  setsid bash -c 'echo $$ >"$0"; exec bash "$1"' "$dir/pid" "$dir/run" >>"$dir/log" 2>&1 </dev/null 9>&- &
  disown
  # On a busy machine the inner shell may take seconds until it runs; without its id, the node would count as ended.
  local _
  for _ in {1..600}; do
    [[ ! -s $dir/pid ]] || return 0
    sleep 0.1
  done
  node_failed "$dir" "was not started within a minute"
}

# node_wait NODE: until the server answers.
node_wait() {
  local dir=$1 deadline=$((SECONDS + READY_SECONDS))
  until "${server}_ready" "$dir"; do
    if ! node_pid "$dir" >/dev/null; then
      sleep 1 # it may be between the fork and the exec
      node_pid "$dir" >/dev/null || node_failed "$dir" "ended while it started"
    fi
    ((SECONDS < deadline)) || node_failed "$dir" "does not answer after $READY_SECONDS s"
    sleep 0.2
  done
}

node_failed() {
  tail -25 "$1/log" >&2
  die "$server ${1##*/} $2; its log: $1/log"
}

# logged NODE TEXT: whether the log has TEXT since the last start.
logged() { grep -qF -e "$2" < <(tail -c "+$(($(cat "$1/log.mark") + 1))" "$1/log"); }

# node_signal NODE SIGNAL SECONDS: waits for the end of the process by its state: a dying process loses its arguments before
# it lets go of its ports.
node_signal() {
  local pid deadline=$((SECONDS + $3))
  pid=$(node_pid "$1") || return 0
  kill "-$2" "$pid"
  kill -CONT "$pid" 2>/dev/null || true
  while grep -q '^State:[[:space:]]*[^Z]' "/proc/$pid/status" 2>/dev/null; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

node_running() { node_pid "$1" || die "$server ${1##*/} is not running"; }
node_start() { node_launch "$1"; node_wait "$1"; }
node_stop() { node_signal "$1" TERM "$(stop_seconds)" || node_signal "$1" KILL 10; rm -f "$1/pid"; }
node_kill() { node_running "$1" >/dev/null; node_signal "$1" KILL 10; rm -f "$1/pid"; }
node_pause() { kill -STOP "$(node_running "$1")"; }
node_resume() { kill -CONT "$(node_running "$1")"; }

# How long a node may take to stop. A broker asks the controller before it leaves: without a majority of controllers nobody
# answers. It is then killed soon; its records are with the operating system, and the next start recovers the log.
stop_seconds() {
  local dir all=0 running=0
  for dir in $(nodes); do
    all=$((all + 1))
    ! node_pid "$dir" >/dev/null || running=$((running + 1))
  done
  echo $((running * 2 > all ? 60 : 2))
}

# All are created and launched before the first is waited for: they start side by side.
all_up() {
  local dir
  for server in "$@"; do [[ -n $(nodes) ]] || "${server}_create"; done
  for server in "$@"; do for dir in $(nodes); do node_launch "$dir"; done; done
  for server in "$@"; do
    for dir in $(nodes); do node_wait "$dir"; done
    echo "$server: $("${server}_address")"
  done
}

all_down() {
  local dir
  for server in "$@"; do for dir in $(nodes | sort -r); do node_stop "$dir"; done; done
}

all_wipe() {
  local dir
  for server in "$@"; do
    for dir in $(nodes); do node_signal "$dir" KILL 10; done
    rm -rf "${CLUSTER_HOME:?}/$server"
  done
  # What tls.sh has made goes with the last who uses it.
  [[ -d $CLUSTER_HOME/kafka || -d $CLUSTER_HOME/cassandra ]] || rm -rf "$CLUSTER_HOME/tls"
}

server_status() {
  local dir pid state rc=0
  [[ -n $(nodes) ]] || { echo "$server: none"; return 1; }
  for dir in $(nodes); do
    if pid=$(node_pid "$dir"); then
      state=starting
      ! "${server}_ready" "$dir" || state=up
      [[ $(ps -o stat= -p "$pid") != T* ]] || state=paused
      [[ $state == up ]] || rc=1
      echo "$server ${dir##*/}: $state, pid $pid, $(($(ps -o rss= -p "$pid") / 1024)) MiB, ports $(paste -sd ' ' "$dir/ports")"
    else
      echo "$server ${dir##*/}: down, ports $(paste -sd ' ' "$dir/ports")"
      rc=1
    fi
  done
  return $rc
}

# The time at which a process started tells it from a later one with the same id. It is the 22nd field; the second one, in
# brackets, may hold blanks.
started_at() {
  local stat fields
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  read -ra fields <<<"${stat##*) }"
  echo "${fields[19]}"
}
watch_process() {
  local started
  started=$(started_at "$1" 2>/dev/null)
  while [[ -n $started && $(started_at "$1" 2>/dev/null) == "$started" ]]; do sleep 1; done
}
