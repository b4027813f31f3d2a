// generator.c: frames for any DPDK program, made in place, as a NIC with DDIO leaves them in the
// cache. It is preloaded into the real `sluiced` and the real `dpdk-testpmd`:
//
//   cc -O3 -march=native -shared -fPIC -o generator.so bench/generator.c
//     $(pkg-config --cflags libdpdk) -ldl
//   GENERATOR="flows=1000000 state=/dev/shm/generator" LD_PRELOAD=$PWD/generator.so
//     dpdk-testpmd ... --vdev=net_null0,size=60,copy=0 -- --forward-mode=io ...
//
// When a port of the driver net_null is started, each of its receive queues gets a callback that
// writes frames into the empty buffers that the driver returns, and each transmit queue one that
// counts what leaves. The buffers come from the program's pool, last freed first, so they are few.
//
// First queue 0 plays one SYN for each flow, in order, then one ACK for each; then every queue
// plays its own flows for ever. All flows come once in each round, in an order that looks random
// (a Lehmer generator over the next prime; any number of flows will do).
//
// GENERATOR is a list of words:
//   flows=N          connections that exist before the measurement (1)
//   kind=known       ACKs of these connections; forwarding methods differ in the director alone
//       =nat         one half requests, one half replies of the real server that the flow went to
//                    (rr: learnt from the first SYNs as they leave, checked with all others)
//       =new         SYN, ACK, FIN, FIN of ever new connections
//       =mix         `share` percent as `new`, the rest as `known`
//       =syn         nothing is set up: SYNs of ever new connections
//       =none        nothing after the set-up: other ports play
//   share=P          (10)
//   servers=N        real servers of the service, for kind=nat (2)
//   replies=same     replies come on the queue of their requests (symmetric RSS)
//          =other    every reply comes on another queue
//   services=N       virtual services; a flow belongs to service (flow % N) (1)
//   clients=plain    64 ports of each client address
//          =colliding  addresses and ports whose CRC32C ends in 16 zero bits and one bit
//   family=4|6       60 bytes; IPv6: 74 bytes (4)
//   hold=1           after the set-up nothing comes until it is told so in the state
//   state=PATH       a file that is mapped, see `struct state`: what was done, and the rate
//
// Service i is TCP 10.1.0.1 + i, or fd00:1::1 + i, port 80. Clients are 10.64.0.0 and up, or
// fd00:2:: and up; real servers of IPv6 are in fd00:3::/96. The frames' destination MAC is the
// port's. With two or more queues, each has the flows that a hash gives it; their number is a
// power of two.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "generator/frame.h"
#include "generator/settings.h"
#include "generator/state.h"
#include "generator/walk.h"

#define LAG 256   // Connections between the SYN, the ACK, and the FINs of one.
#define RING 1024 // Descriptors of the receive queue that pacing pretends.

struct queue {
    struct walk requests, replies;
    uint64_t step;          // of new connections
    uint64_t opened;        // by queue 0, in set-up
    uint64_t learnt;        // by the transmit callback of queue 0
    uint64_t paced_from, paced_rate, paced_made;
    uint64_t last;
    uint32_t number;
} __rte_cache_aligned;

static struct queue queues[QUEUES_MAX];
static uint16_t the_port = UINT16_MAX;

// ---- what comes ----

// The flow with this index among those of a queue: of as many neighbours as there are queues, a
// hash gives each queue one.
static inline uint64_t flow_of(uint64_t index, uint32_t queue) {
    uint32_t mask = (uint32_t)state->queues - 1;
    uint32_t hash = (uint32_t)(index * 0x9E3779B97F4A7C15u >> 40);
    return index * (mask + 1) + ((queue + hash) & mask);
}

// The next frame of ever new connections; those of 256 connections are under way at a time.
static inline void write_new(struct rte_mbuf *mbuf, struct queue *queue, uint64_t time) {
    static const uint8_t flags[4] = {SYN, ACK, FIN | ACK, FIN | ACK};
    uint64_t part = queue->step & 3;
    uint64_t connection = (queue->step >> 2) + (3 - part) * LAG;
    queue->step++;
    write_request(mbuf, settings.flows + connection * state->queues + queue->number, flags[part],
                  time);
}

static inline void write_known(struct rte_mbuf *mbuf, struct queue *queue, uint64_t time) {
    write_request(mbuf, flow_of(next_of(&queue->requests), queue->number), ACK, time);
}

static inline void write_syn(struct rte_mbuf *mbuf, struct queue *queue, uint64_t time) {
    write_request(mbuf, queue->step++ * state->queues + queue->number, SYN, time);
}

static inline void write_half(struct rte_mbuf *mbuf, struct queue *queue, uint64_t time) {
    if (queue->step++ & 1) {
        uint32_t number = (queue->number + settings.is_other) & (uint32_t)(state->queues - 1);
        write_reply(mbuf, flow_of(next_of(&queue->replies), number), time);
    } else {
        write_known(mbuf, queue, time);
    }
}

// ---- receive and send ----

static uint16_t set_up(struct queue *queue, struct rte_mbuf **mbufs, uint16_t count) {
    if (queue->number != 0 || state->phase == HOLDING)
        return 0;
    uint64_t left = settings.flows - queue->opened;
    uint16_t part = (uint16_t)RTE_MIN(left, (uint64_t)count);
    uint64_t flags = state->phase == OPENING ? SYN : ACK;
    for (int i = 0; i < part; i++)
        write_request(mbufs[i], queue->opened++, flags, 0);
    if (queue->opened == settings.flows) {
        queue->opened = 0;
        state->phase += state->phase == OPENING || settings.is_held ? 1 : 2;
    }
    return part;
}

// The frames that are due, and when the first of them was and how far they are apart, in 1/65536
// of a tick.
static uint16_t due(struct queue *queue, struct queue_state *mine, uint64_t rate, uint64_t now,
                    uint16_t count, uint64_t *first, uint64_t *step) {
    if (queue->paced_rate != rate) {
        queue->paced_rate = rate;
        queue->paced_from = now;
        queue->paced_made = 0;
    }
    *step = (state->hz << 16) / rate;
    uint64_t until = (uint64_t)((unsigned __int128)(now - queue->paced_from) * 65536 / *step);
    uint64_t waiting = until - queue->paced_made;
    if (waiting > RING) {
        mine->lost += waiting - RING;
        queue->paced_made += waiting - RING;
        waiting = RING;
    }
    *first = queue->paced_made * *step;
    uint16_t part = (uint16_t)RTE_MIN(waiting, (uint64_t)count);
    queue->paced_made += part;
    return part;
}

static inline void play(struct queue *queue, struct rte_mbuf **mbufs, uint16_t count,
                        uint64_t from, uint64_t step) {
    uint64_t share = settings.share;
#define EACH(what)                                                                               \
    for (uint16_t i = 0; i < count; i++) {                                                       \
        uint64_t time = step ? (queue->paced_from + ((from + i * step) >> 16)) << 16 >> 16 : 0;  \
        what;                                                                                    \
    }
    switch (settings.kind) {
    case KNOWN: EACH(write_known(mbufs[i], queue, time)) break;
    case NAT: EACH(write_half(mbufs[i], queue, time)) break;
    case NEW: EACH(write_new(mbufs[i], queue, time)) break;
    case ONLY_SYN: EACH(write_syn(mbufs[i], queue, time)) break;
    case NONE: break;
    case MIX:
        EACH(if ((queue->last + i) * share % 100 < share) write_new(mbufs[i], queue, time);
             else write_known(mbufs[i], queue, time))
        queue->last += count;
        break;
    }
#undef EACH
}

static void note_call(struct queue_state *mine, uint64_t now) {
    if (unlikely(mine->reset != state->reset)) {
        memset(mine->gaps, 0, sizeof mine->gaps);
        memset(mine->delays, 0, sizeof mine->delays);
        mine->longest_gap = mine->lost = 0;
        mine->reset = state->reset;
    } else if (likely(mine->now != 0)) {
        uint64_t gap = now - mine->now;
        mine->gaps[63 - __builtin_clzll(gap | 1)]++;
        if (gap > mine->longest_gap)
            mine->longest_gap = gap;
    }
    mine->now = now;
}

static uint16_t receive_nothing(void *queue, struct rte_mbuf **mbufs, uint16_t count) {
    (void)queue, (void)mbufs, (void)count;
    return 0;
}

// From now on nothing comes by the port, and asking it costs what asking an idle device does:
// net_null would go on to make frames, which a row about other ports would pay for.
static void fall_silent(uint16_t port, uint16_t number) {
    rte_eth_fp_ops[port].rx_pkt_burst = receive_nothing;
    rte_eth_fp_ops[port].rxq.clbk[number] = NULL;
}

static uint16_t on_receive(uint16_t port, uint16_t number, struct rte_mbuf **mbufs, uint16_t count,
                           uint16_t max, void *unused) {
    struct queue *queue = &queues[number];
    struct queue_state *mine = &state->queue[number];
    uint64_t now = rte_rdtsc(), first = 0, step = 0, rate;
    uint16_t part = count;
    (void)max, (void)unused;
    note_call(mine, now);
    if (unlikely(state->phase != PLAYING)) {
        part = set_up(queue, mbufs, count);
        if (settings.kind == NONE && state->phase >= HOLDING)
            fall_silent(port, number);
    } else {
        if ((rate = state->rate) != 0)
            part = due(queue, mine, rate, now, count, &first, &step);
        play(queue, mbufs, part, first, step);
    }
    if (part < count)
        rte_pktmbuf_free_bulk(mbufs + part, count - part);
    mine->made += part;
    return part;
}

static bool is_from_client(const uint8_t *frame) {
    return settings.family == 4 ? memcmp(frame + 12, "\x08\x00", 2) == 0 && frame[26] == 10 &&
                                      frame[27] >= 64 && frame[47] == SYN
                                : memcmp(frame + 12, "\x86\xdd", 2) == 0 && frame[25] == 2 &&
                                      frame[67] == SYN;
}

// Which real server rr gave to the flows: the first ones tell the order, the others keep it.
static void learn(struct queue *queue, struct rte_mbuf **mbufs, uint16_t count) {
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *frame = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
        if (!is_from_client(frame))
            continue;
        uint32_t to;
        memcpy(&to, frame + (settings.family == 4 ? 30 : 50), 4);
        if (queue->learnt < settings.servers)
            server[queue->learnt] = to;
        else if (server[queue->learnt % settings.servers] != to)
            state->strays++;
        queue->learnt++;
    }
}

static void note_delays(struct queue_state *mine, struct rte_mbuf **mbufs, uint16_t count) {
    uint64_t now = rte_rdtsc() << 16 >> 16;
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *frame = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
        uint64_t due = 0;
        memcpy(&due, frame + 54, 6);
        if (due == 0 || due > now || mbufs[i]->data_len != length)
            continue;
        uint64_t delay = now - due + 16;
        int power = 63 - __builtin_clzll(delay);
        mine->delays[RTE_MIN((power - 4) * 16 + (int)(delay >> (power - 4)), HISTOGRAM - 1)]++;
    }
}

static uint16_t on_send(uint16_t port, uint16_t number, struct rte_mbuf **mbufs, uint16_t count,
                        void *unused) {
    struct queue_state *mine = &state->queue[number];
    (void)port, (void)unused;
    if (unlikely(state->rate != 0) && settings.family == 4)
        note_delays(mine, mbufs, count);
    if (unlikely(state->phase != PLAYING) && settings.kind == NAT)
        learn(&queues[number], mbufs, count);
    mine->sent += count;
    return count;
}

// ---- the beginning ----

static void begin(uint16_t port, const struct rte_eth_dev_info *info) {
    struct rte_ether_addr mac;
    read_settings(getenv("GENERATOR"));
    if (info->nb_rx_queues > QUEUES_MAX || (info->nb_rx_queues & (info->nb_rx_queues - 1)))
        fail("the queues have to be a power of two, 16 at most, of", info->driver_name);
    if (settings.flows < info->nb_rx_queues || (settings.kind == NAT && settings.services > 1))
        fail("fewer flows than queues, or kind=nat with several services", info->driver_name);
    map_state();
    state->hz = rte_get_tsc_hz();
    state->queues = info->nb_rx_queues;
    state->phase = settings.kind == ONLY_SYN ? PLAYING : OPENING;
    rte_eth_macaddr_get(port, &mac);
    length = settings.family == 4 ? 60 : 74;
    make_template(&request, &mac, false);
    make_template(&reply, &mac, true);
    if (settings.is_colliding)
        make_colliding();
    uint64_t flows = settings.flows / state->queues;
    for (uint16_t i = 0; i < info->nb_rx_queues; i++) {
        queues[i] = (struct queue){.number = i};
        queues[i].requests = walk_over(flows, 0);
        queues[i].replies = walk_over(flows, flows / 2);
    }
    the_port = port;
}

// What the program calls instead of DPDK's own.
__attribute__((visibility("default"))) int rte_eth_dev_start(uint16_t port) {
    int (*next)(uint16_t) = (int (*)(uint16_t))dlsym(RTLD_NEXT, "rte_eth_dev_start");
    struct rte_eth_dev_info info;
    int result = next(port);
    if (result != 0 || rte_eth_dev_info_get(port, &info) != 0 ||
        strcmp(info.driver_name, "net_null") != 0 || the_port != UINT16_MAX)
        return result;
    begin(port, &info);
    for (uint16_t i = 0; i < info.nb_rx_queues; i++)
        if (!rte_eth_add_rx_callback(port, i, on_receive, NULL))
            fail("no receive callback", info.driver_name);
    for (uint16_t i = 0; i < RTE_MIN(info.nb_tx_queues, QUEUES_MAX); i++)
        if (!rte_eth_add_tx_callback(port, i, on_send, NULL))
            fail("no transmit callback", info.driver_name);
    return result;
}
