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
//   share=P          (10)
//   servers=N        real servers of the service, for kind=nat (2)
//   replies=same     replies come on the queue of their requests (symmetric RSS)
//          =other    every reply comes on another queue
//   services=N       virtual services; a flow belongs to service (flow % N) (1)
//   clients=plain    64 ports of each client address
//          =colliding  addresses and ports whose CRC32C ends in 16 zero bits
//   family=4|6       60 bytes; IPv6: 74 bytes (4)
//   state=PATH       a file that is mapped, see `struct state`: what was done, and the rate
//
// Service i is TCP 10.1.0.1 + i, or fd00:1::1 + i, port 80. Clients are 10.64.0.0 and up, or
// fd00:2:: and up; real servers of IPv6 are in fd00:3::/96. The frames' destination MAC is the
// port's. With two or more queues, each has the flows that a hash gives it; their number is a
// power of two.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#if RTE_BYTE_ORDER != RTE_LITTLE_ENDIAN
#error "frames are composed of little-endian words"
#endif

#define QUEUES_MAX 16
#define SERVERS_MAX 1024
#define LAG 256          // Connections between the SYN, the ACK, and the FINs of one.
#define RING 1024        // Descriptors of the receive queue that pacing pretends.
#define HISTOGRAM 640    // 16 buckets for each power of two of ticks.
#define FIN 0x01
#define SYN 0x02
#define ACK 0x10

enum kind { KNOWN, NAT, NEW, MIX, ONLY_SYN };
enum phase { OPENING, ESTABLISHING, PLAYING };

// What a queue did. `bench/generator.py` reads it and knows its layout.
struct queue_state {
    uint64_t now;         // Time-stamp counter at the last call.
    uint64_t made;        // Frames that the program received.
    uint64_t sent;        // Frames that the program sent through the queue of the same number.
    uint64_t lost;        // Paced frames that found the pretended ring full.
    uint64_t longest_gap; // Longest time between two calls.
    uint64_t gaps[64];    // By powers of two.
    uint64_t reset;       // The last reset that it did.
    uint64_t delays[HISTOGRAM]; // Paced frames: from when they were due until they were sent.
} __rte_cache_aligned;

struct state {
    uint64_t hz;                // Ticks of the time-stamp counter per second.
    volatile uint64_t phase;    // enum phase
    volatile uint64_t strays;   // Flows that rr did not send where it should have.
    volatile uint64_t rate;     // Written from outside: frames per second of each queue, 0 all.
    volatile uint64_t reset;    // Written from outside: a new number zeroes gaps and delays.
    uint64_t queues;
    struct queue_state queue[QUEUES_MAX];
};

// All flows of 0..flows once in each round: powers of a primitive root modulo the next prime.
struct walk {
    uint64_t at, factor, prime, reciprocal, flows;
};

// The ends of a connection as they stand in a frame.
struct ends {
    uint32_t client, vip;
    uint16_t port;
};

// A frame with holes, and the sums of what is in it already.
struct template {
    uint64_t word[10];
    uint64_t ip_sum, tcp_sum;
};

struct queue {
    struct walk requests, replies;
    uint64_t step;          // of new connections
    uint64_t opened;        // by queue 0, in set-up
    uint64_t learnt;        // by the transmit callback of queue 0
    uint64_t paced_from, paced_rate, paced_made;
    uint64_t last;
    uint32_t number;
} __rte_cache_aligned;

static struct {
    enum kind kind;
    uint64_t flows, share, servers, services, family;
    bool is_colliding, is_other;
    char path[256];
} settings = {.flows = 1, .share = 10, .servers = 2, .services = 1, .family = 4};

static struct state *state;
static struct queue queues[QUEUES_MAX];
static struct template request, reply;
static uint32_t server[SERVERS_MAX]; // by flow % servers, as in a frame
static uint16_t port_of[4][256];     // colliding clients: by the bytes of the address
static uint32_t length;
static uint16_t the_port = UINT16_MAX;

static void fail(const char *what, const char *word) {
    fprintf(stderr, "generator: %s: '%s'\n", what, word);
    exit(1);
}

// ---- numbers ----

static uint64_t power(uint64_t base, uint64_t exponent, uint64_t modulus) {
    uint64_t result = 1 % modulus;
    for (; exponent; exponent >>= 1, base = base * base % modulus)
        if (exponent & 1)
            result = result * base % modulus;
    return result;
}

static bool is_prime(uint64_t n) {
    for (uint64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return n > 1;
}

static bool is_primitive(uint64_t root, uint64_t prime) {
    uint64_t rest = prime - 1;
    for (uint64_t d = 2; rest > 1; d++) {
        if (d * d > rest)
            d = rest;
        if (rest % d)
            continue;
        if (power(root, (prime - 1) / d, prime) == 1)
            return false;
        while (rest % d == 0)
            rest /= d;
    }
    return true;
}

static struct walk walk_over(uint64_t flows, uint64_t start) {
    uint64_t prime = flows + 1;
    while (!is_prime(prime))
        prime++;
    uint64_t factor = prime * 618 / 1000 + 1;
    while (!is_primitive(factor, prime))
        factor++;
    return (struct walk){.at = start % flows + 1,
                         .factor = factor % prime,
                         .prime = prime,
                         .reciprocal = UINT64_MAX / prime,
                         .flows = flows};
}

static inline uint64_t next_of(struct walk *walk) {
    uint64_t x = walk->at;
    do {
        x *= walk->factor;
        x -= (uint64_t)(((unsigned __int128)x * walk->reciprocal) >> 64) * walk->prime;
        if (x >= walk->prime)
            x -= walk->prime;
    } while (x > walk->flows);
    walk->at = x;
    return x - 1;
}

// The flow with this index among those of a queue: of as many neighbours as there are queues, a
// hash gives each queue one.
static inline uint64_t flow_of(uint64_t index, uint32_t queue) {
    uint32_t mask = (uint32_t)state->queues - 1;
    uint32_t hash = (uint32_t)(index * 0x9E3779B97F4A7C15u >> 40);
    return index * (mask + 1) + ((queue + hash) & mask);
}

// ---- frames ----

static inline struct ends ends_of(uint64_t flow) {
    uint32_t number = (uint32_t)flow & 0x0fffffff;
    uint32_t service = settings.services == 1 ? 0 : number % (uint32_t)settings.services;
    uint32_t net = settings.family == 4 ? 0x0a010001 : 1;
    struct ends ends = {.vip = rte_cpu_to_be_32(net + service)};
    uint32_t client = (settings.family == 4 ? 0x0a400000 : 0);
    if (settings.is_colliding) {
        client += number;
        ends.port = port_of[0][client & 255] ^ port_of[1][client >> 8 & 255] ^
                    port_of[2][client >> 16 & 255] ^ port_of[3][client >> 24];
    } else {
        client += number >> 6;
        ends.port = rte_cpu_to_be_16((uint16_t)(1024 + (number & 63)));
    }
    ends.client = rte_cpu_to_be_32(client);
    return ends;
}

static inline uint64_t folded(uint64_t sum) {
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return ~((sum >> 16) + sum) & 0xffff;
}

static inline void write_words(struct rte_mbuf *mbuf, const uint64_t *word, int count) {
    typedef uint64_t pair __attribute__((vector_size(16)));
    pair *to = rte_pktmbuf_mtod(mbuf, pair *);
    for (int i = 0; i < count / 2; i++)
        to[i] = (pair){word[2 * i], word[2 * i + 1]};
    mbuf->data_len = (uint16_t)length;
    mbuf->pkt_len = length;
}

// The last six bytes are a time, when the frame is paced, else 0.
static inline void write_frame4(struct rte_mbuf *mbuf, const struct template *template,
                                uint32_t source, uint32_t destination, uint64_t ports,
                                uint64_t flags, uint64_t time) {
    const uint64_t *w = template->word;
    uint64_t sum = (uint64_t)source + destination;
    uint64_t ip = folded(template->ip_sum + sum);
    uint64_t tcp = folded(template->tcp_sum + sum + ports + (flags << 8) + (time & 0xffffffff) +
                          (time >> 32));
    uint64_t word[8] = {w[0], w[1], w[2]};
    word[3] = ip | (uint64_t)source << 16 | (uint64_t)destination << 48;
    word[4] = destination >> 16 | ports << 16 | w[4];
    word[5] = w[5] | flags << 56;
    word[6] = w[6] | tcp << 16 | time << 48;
    word[7] = time >> 16;
    write_words(mbuf, word, 8);
}

static inline void write_frame6(struct rte_mbuf *mbuf, const struct template *template,
                                uint32_t source, uint32_t destination, uint64_t ports,
                                uint64_t flags) {
    const uint64_t *w = template->word;
    uint64_t tcp = folded(template->tcp_sum + source + destination + ports + (flags << 8));
    uint64_t word[10] = {w[0], w[1], w[2], w[3], w[4], w[5]};
    word[4] |= (uint64_t)source << 16;
    word[6] = w[6] | (uint64_t)destination << 16 | ports << 48;
    word[7] = w[7] | ports >> 16;
    word[8] = w[8] | flags << 24 | tcp << 48;
    word[9] = w[9];
    write_words(mbuf, word, 10);
}

static inline void write_frame(struct rte_mbuf *mbuf, const struct template *template,
                               uint32_t source, uint32_t destination, uint64_t ports,
                               uint64_t flags, uint64_t time) {
    if (settings.family == 4)
        write_frame4(mbuf, template, source, destination, ports, flags, time);
    else
        write_frame6(mbuf, template, source, destination, ports, flags);
}

static const uint16_t service_port = RTE_STATIC_BSWAP16(80);

static inline void write_request(struct rte_mbuf *mbuf, uint64_t flow, uint64_t flags,
                                 uint64_t time) {
    struct ends ends = ends_of(flow);
    uint64_t ports = ends.port | (uint64_t)service_port << 16;
    write_frame(mbuf, &request, ends.client, ends.vip, ports, flags, time);
}

static inline void write_reply(struct rte_mbuf *mbuf, uint64_t flow, uint64_t time) {
    struct ends ends = ends_of(flow);
    uint32_t from = server[(uint32_t)flow % (uint32_t)settings.servers];
    uint64_t ports = service_port | (uint64_t)ends.port << 16;
    write_frame(mbuf, &reply, from, ends.client, ports, ACK, time);
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
    if (queue->number != 0)
        return 0;
    uint64_t left = settings.flows - queue->opened;
    uint16_t part = (uint16_t)RTE_MIN(left, (uint64_t)count);
    uint64_t flags = state->phase == OPENING ? SYN : ACK;
    for (int i = 0; i < part; i++)
        write_request(mbufs[i], queue->opened++, flags, 0);
    if (queue->opened == settings.flows) {
        queue->opened = 0;
        __atomic_store_n(&state->phase, state->phase + 1, __ATOMIC_RELEASE);
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

static uint16_t on_receive(uint16_t port, uint16_t number, struct rte_mbuf **mbufs, uint16_t count,
                           uint16_t max, void *unused) {
    struct queue *queue = &queues[number];
    struct queue_state *mine = &state->queue[number];
    uint64_t now = rte_rdtsc(), first = 0, step = 0, rate;
    uint16_t part = count;
    (void)port, (void)max, (void)unused;
    note_call(mine, now);
    if (unlikely(state->phase != PLAYING)) {
        part = set_up(queue, mbufs, count);
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

static uint64_t sum_of(const uint8_t *bytes, int from, int to) {
    uint64_t sum = 0;
    for (int i = from; i < to; i += 2)
        sum += bytes[i] | bytes[i + 1] << 8;
    return sum;
}

static void make_template(struct template *template, const struct rte_ether_addr *mac,
                          bool is_reply) {
    static const uint8_t prefix[2][12] = {{0xfd, 0, 0, 2}, {0xfd, 0, 0, 1}};
    static const uint8_t prefix_of_servers[12] = {0xfd, 0, 0, 3};
    uint8_t *b = (uint8_t *)template->word;
    int ip = 14, tcp = settings.family == 4 ? 34 : 54;
    memset(template, 0, sizeof *template);
    memcpy(b, mac, 6);
    memcpy(b + 6, "\x02\0\0\0\0\x01", 6);
    if (settings.family == 4) {
        // A whole header but for checksum and addresses: 46 bytes, not to be fragmented, TTL 64.
        memcpy(b + 12, "\x08\0\x45\0\0\x2e\0\0\x40\0\x40\x06", 12);
        template->ip_sum = sum_of(b, ip, tcp);
        template->tcp_sum = RTE_STATIC_BSWAP16(6) + RTE_STATIC_BSWAP16(26);
    } else {
        memcpy(b + 12, "\x86\xdd\x60\0\0\0\0\x14\x06\x40", 10);
        memcpy(b + 22, is_reply ? prefix_of_servers : prefix[0], 12);
        memcpy(b + 38, is_reply ? prefix[0] : prefix[1], 12);
        template->tcp_sum = sum_of(b, 22, 54) + RTE_STATIC_BSWAP16(6) + RTE_STATIC_BSWAP16(20);
    }
    b[tcp + 7] = b[tcp + 11] = 1; // sequence numbers
    b[tcp + 12] = 0x50;
    b[tcp + 14] = b[tcp + 15] = 0xff; // window
    template->tcp_sum += sum_of(b, tcp, tcp + 20);
}

static uint32_t crc32c(const uint8_t *bytes, int count) {
    uint32_t crc = 0;
    for (int i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return crc;
}

// The port that brings the low 16 bits of CRC32C(address, port) to zero. A CRC from zero is
// linear: the port is the XOR of what each byte of the address asks for.
static void make_colliding(void) {
    static uint16_t port_with[65536];
    for (uint32_t port = 0; port < 65536; port++) {
        uint8_t bytes[6] = {0, 0, 0, 0, (uint8_t)port, (uint8_t)(port >> 8)};
        port_with[crc32c(bytes, 6) & 0xffff] = (uint16_t)port;
    }
    for (int place = 0; place < 4; place++)
        for (int value = 0; value < 256; value++) {
            uint8_t bytes[6] = {0};
            bytes[3 - place] = (uint8_t)value; // the address stands there big-endian
            port_of[place][value] = port_with[crc32c(bytes, 6) & 0xffff];
        }
}

static void one_of(const char *name, const char *value, const char *const *words, int *place) {
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], value) == 0) {
            *place = i;
            return;
        }
    fail(name, value);
}

static void read_word(char *word) {
    static const char *const kinds[] = {"known", "nat", "new", "mix", "syn", NULL};
    static const char *const ways[] = {"same", "other", NULL};
    static const char *const clients[] = {"plain", "colliding", NULL};
    char *value = strchr(word, '='), *end;
    int place = 0;
    if (!value)
        fail("not NAME=VALUE", word);
    *value++ = 0;
    uint64_t number = strtoull(value, &end, 10);
    bool is_number = *value && !*end && number > 0;
    if (!strcmp(word, "kind")) {
        one_of(word, value, kinds, &place);
        settings.kind = (enum kind)place;
    } else if (!strcmp(word, "replies")) {
        one_of(word, value, ways, &place);
        settings.is_other = place;
    } else if (!strcmp(word, "clients")) {
        one_of(word, value, clients, &place);
        settings.is_colliding = place;
    } else if (!strcmp(word, "state")) {
        snprintf(settings.path, sizeof settings.path, "%s", value);
    } else if (!strcmp(word, "flows") && is_number && number <= 200000000) {
        settings.flows = number;
    } else if (!strcmp(word, "share") && is_number && number <= 100) {
        settings.share = number;
    } else if (!strcmp(word, "servers") && is_number && number <= SERVERS_MAX) {
        settings.servers = number;
    } else if (!strcmp(word, "services") && is_number && number <= 65536) {
        settings.services = number;
    } else if (!strcmp(word, "family") && (number == 4 || number == 6)) {
        settings.family = number;
    } else {
        fail(word, value);
    }
}

static void map_state(void) {
    int file = -1, flags = MAP_SHARED | MAP_ANONYMOUS;
    if (*settings.path) {
        flags = MAP_SHARED;
        file = open(settings.path, O_RDWR | O_CREAT | O_TRUNC, 0644);
        if (file < 0 || ftruncate(file, sizeof *state) != 0)
            fail("state cannot be made", settings.path);
    }
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, flags, file, 0);
    if (state == MAP_FAILED)
        fail("state cannot be mapped", settings.path);
    if (file >= 0)
        close(file);
}

static void begin(uint16_t port, const struct rte_eth_dev_info *info) {
    struct rte_ether_addr mac;
    char words[1024], *rest = words, *word;
    const char *variable = getenv("GENERATOR");
    snprintf(words, sizeof words, "%s", variable ? variable : "");
    while ((word = strsep(&rest, " ")))
        if (*word)
            read_word(word);
    if (info->nb_rx_queues > QUEUES_MAX || (info->nb_rx_queues & (info->nb_rx_queues - 1)))
        fail("the queues have to be a power of two, 16 at most, of", info->driver_name);
    if (settings.flows < info->nb_rx_queues || (settings.kind == NAT && settings.services > 1))
        fail("fewer flows than queues, or kind=nat with several services", variable);
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
