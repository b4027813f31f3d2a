// state.h: what the generator says of itself, and is told, in memory that others may map.
// `bench/generator.py` knows this layout.
#pragma once

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_common.h>

#include "settings.h"

#define QUEUES_MAX 16
#define HISTOGRAM 640 // 16 buckets for each power of two of ticks.

enum phase { OPENING, ESTABLISHING, HOLDING, PLAYING };

// What a queue did.
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
    volatile uint64_t phase;    // enum phase; with hold=1, PLAYING is written from outside
    volatile uint64_t strays;   // Flows that rr did not send where it should have.
    volatile uint64_t rate;     // Written from outside: frames per second of each queue, 0 all.
    volatile uint64_t reset;    // Written from outside: a new number zeroes gaps and delays.
    uint64_t queues;
    struct queue_state queue[QUEUES_MAX];
};

static struct state *state;

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
