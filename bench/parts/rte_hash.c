// rte_hash: DPDK's own hash table with the keys of the benchmark `flows`, for comparison: lookups
// of bursts of 32 in random order with rte_hash_lookup_bulk, which prefetches, and what a packet
// reads of its connection; a table of lock-free readers, as several workers would need it.
//
//   cc -O3 -march=native -o rte_hash bench/parts/rte_hash.c
//     $(pkg-config --cflags --libs libdpdk) && ./rte_hash
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#define BURST 32

struct key {
    uint32_t client, virtual_address;
    uint16_t client_port, virtual_port;
    uint32_t protocol;
};

struct connection {
    uint32_t state, deadline, destination, server;
    uint64_t rest[6];
} __rte_cache_aligned;

static struct key key_of(uint32_t clients, uint32_t number) {
    return (struct key){.client = clients + number / 64,
                        .virtual_address = 0x0a000064,
                        .client_port = (uint16_t)(1024 + number % 64),
                        .virtual_port = 80,
                        .protocol = 6};
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void check(bool is_right, const char *what) {
    if (!is_right) {
        fprintf(stderr, "rte_hash: %s: %s\n", what, rte_strerror(rte_errno));
        exit(1);
    }
}

// Nanoseconds for each key.
static double look_up(struct rte_hash *table, const struct key *keys, uint32_t count,
                      uint32_t wanted) {
    const void *burst[BURST];
    void *data[BURST];
    uint64_t mask, looked = 0, found = 0, sum = 0, hz = rte_get_tsc_hz();
    uint64_t begin = rte_rdtsc(), end = begin + hz;
    do {
        for (uint32_t at = 0; at + BURST <= count; at += BURST) {
            for (int i = 0; i < BURST; i++)
                burst[i] = keys + at + i;
            found += (uint64_t)rte_hash_lookup_bulk_data(table, burst, BURST, &mask, data);
            for (int i = 0; i < BURST; i++)
                if (mask >> i & 1) {
                    const struct connection *it = data[i];
                    sum += it->destination + it->deadline + it->state;
                }
            looked += BURST;
        }
    } while (rte_rdtsc() < end);
    uint64_t ticks = rte_rdtsc() - begin;
    check(found == looked * wanted && (sum != 0) == wanted, "other keys are found than are there");
    return (double)ticks * 1e9 / (double)hz / (double)looked;
}

// Nanoseconds for an insertion with its removal, bursts of 32, in a table that is half full.
static double change(struct rte_hash *table, const struct key *keys, uint32_t count) {
    uint64_t changed = 0, hz = rte_get_tsc_hz(), begin = rte_rdtsc();
    static struct connection connection;
    for (uint32_t at = 0; at + BURST <= count; at += BURST, changed += BURST) {
        for (int i = 0; i < BURST; i++)
            check(rte_hash_add_key_data(table, keys + at + i, &connection) == 0, "no room");
        for (int i = 0; i < BURST; i++) {
            int32_t place = rte_hash_del_key(table, keys + at + i);
            check(place >= 0 && rte_hash_free_key_with_position(table, place) == 0, "not there");
        }
    }
    return (double)(rte_rdtsc() - begin) * 1e9 / (double)hz / (double)changed;
}

static void measure(uint32_t count) {
    char name[32];
    snprintf(name, sizeof name, "flows%u", count);
    struct rte_hash_parameters parameters = {
        .name = name,
        .entries = count * 2,
        .key_len = sizeof(struct key),
        .hash_func = rte_hash_crc,
        .socket_id = SOCKET_ID_ANY,
        .extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
    };
    struct rte_hash *table = rte_hash_create(&parameters);
    check(table != NULL, "no table");
    struct connection *connections = rte_zmalloc(NULL, count * sizeof *connections, 64);
    struct key *keys = malloc(count * sizeof *keys), *strangers = malloc(count * sizeof *keys);
    check(connections && keys && strangers, "no memory");
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = key_of(0x0a000000, i);
        connections[i] = (struct connection){.state = 1, .deadline = 9, .destination = 1};
        check(rte_hash_add_key_data(table, keys + i, connections + i) == 0, "no room");
    }
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = (uint32_t)(next_random() % (i + 1));
        struct key swapped = keys[i];
        keys[i] = keys[other];
        keys[other] = swapped;
    }
    for (uint32_t i = 0; i < count; i++) {
        strangers[i] = keys[i];
        strangers[i].client += 0x01000000;
    }
    printf("find/%u/1 threads/rte_hash %.1f\n", count, look_up(table, keys, count, 1));
    printf("find/%u/1 threads/rte_hash, not there %.1f\n", count,
           look_up(table, strangers, count, 0));
    printf("insert and remove, rte_hash/%u %.1f\n", count, change(table, strangers, count));
    rte_hash_free(table);
    rte_free(connections);
    free(keys);
    free(strangers);
}

int main(int count, char **words) {
    check(rte_eal_init(count, words) >= 0, "DPDK does not start");
    measure(8192);
    measure(1000000);
    return rte_eal_cleanup();
}
