// frame.h: a frame of TCP, written into a buffer as whole words, with all checksums right.
#pragma once

#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "settings.h"

#if RTE_BYTE_ORDER != RTE_LITTLE_ENDIAN
#error "frames are composed of little-endian words"
#endif

#define FIN 0x01
#define SYN 0x02
#define ACK 0x10

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

static struct template request, reply;
static uint32_t server[SERVERS_MAX]; // by flow % servers, as in a frame
static uint16_t port_of[4][256];     // colliding clients: by the bytes of the address
static uint32_t length;

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
        if (ends.port == 0 || ends.port == RTE_STATIC_BSWAP16(20)) // FTP's data are another matter
            ends.port ^= 0x8000;
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

// The port that brings bits 1 to 16 of CRC32C(address, port) to zero (bit 0 cannot be had: those 16
// have a port for every value). A CRC from zero is linear: the port is the XOR of what each byte
// of the address asks for.
static void make_colliding(void) {
    static uint16_t port_with[65536];
    for (uint32_t port = 0; port < 65536; port++) {
        uint8_t bytes[6] = {0, 0, 0, 0, (uint8_t)port, (uint8_t)(port >> 8)};
        port_with[crc32c(bytes, 6) >> 1 & 0xffff] = (uint16_t)port;
    }
    for (int place = 0; place < 4; place++)
        for (int value = 0; value < 256; value++) {
            uint8_t bytes[6] = {0};
            bytes[3 - place] = (uint8_t)value; // the address stands there big-endian
            port_of[place][value] = port_with[crc32c(bytes, 6) >> 1 & 0xffff];
        }
}
