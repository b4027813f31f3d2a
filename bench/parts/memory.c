// memory: what this machine's memory does, as inputs of docs/performance.md's model.
//
//   cc -O2 -march=native -pthread -o memory bench/parts/memory.c && ./memory
//
// random: a load that waits for the one before it; prefetched: 32 such under way at a time, as a
// worker has them; both on 1 GiB. read: bytes in order, one core. handed: a line that another core
// has just written is written here (half of a round trip). added: two cores add to one word.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define BYTES (1ull << 30)
#define LINES (BYTES / 64)

struct line {
    _Atomic uint64_t word;
    uint64_t rest[7];
} __attribute__((aligned(64)));

static struct line *lines, shared;
static cpu_set_t allowed; // at the beginning

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void pin(int which) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && which-- == 0)
            CPU_SET(cpu, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static uint64_t mixed(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    return x ^ x >> 33;
}

static double chase(uint64_t steps) {
    uint64_t at = 1;
    double begin = now();
    for (uint64_t i = 0; i < steps; i++)
        at = mixed(at + i + lines[at % LINES].word);
    double took = now() - begin;
    return at == 0 ? 0 : took / (double)steps;
}

static double prefetched(uint64_t steps) {
    uint64_t sum = 0;
    double begin = now();
    for (uint64_t i = 0; i < steps; i += 32) {
        for (uint64_t j = 0; j < 32; j++)
            __builtin_prefetch(&lines[mixed(i + j) % LINES]);
        for (uint64_t j = 0; j < 32; j++)
            sum += lines[mixed(i + j) % LINES].word;
    }
    double took = now() - begin;
    return sum == 1 ? 0 : took / (double)steps;
}

static double in_order(void) {
    uint64_t sum = 0;
    double begin = now();
    for (uint64_t i = 0; i < LINES; i++)
        sum += lines[i].word;
    double took = now() - begin;
    return sum == 1 ? 0 : (double)BYTES / took;
}

#define HANDS 500000u
#define ADDS 5000000u

static void *hand(void *other) {
    uint64_t odd = other != NULL;
    pin((int)odd);
    for (uint64_t turn = odd; turn < 2 * HANDS; turn += 2) {
        while (atomic_load_explicit(&shared.word, memory_order_acquire) != turn)
            ;
        atomic_store_explicit(&shared.word, turn + 1, memory_order_release);
    }
    return NULL;
}

static void *add(void *other) {
    pin(other != NULL);
    for (uint32_t i = 0; i < ADDS; i++)
        atomic_fetch_add_explicit(&shared.word, 1, memory_order_relaxed);
    return NULL;
}

// Nanoseconds that both together take for each of their `steps`.
static double both(void *(*work)(void *), double steps) {
    pthread_t other;
    atomic_store(&shared.word, 0);
    double begin = now();
    pthread_create(&other, NULL, work, &shared);
    work(NULL);
    pthread_join(other, NULL);
    return (now() - begin) / steps;
}

int main(void) {
    sched_getaffinity(0, sizeof allowed, &allowed);
    if (CPU_COUNT(&allowed) < 2)
        return fprintf(stderr, "memory: two CPUs are needed\n"), 1;
    pin(1);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    lines = mmap(NULL, BYTES + (2 << 20), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (lines == MAP_FAILED)
        return perror("memory: 1 GiB"), 1;
    lines = (struct line *)(((uintptr_t)lines + (2 << 20) - 1) & ~(uintptr_t)((2 << 20) - 1));
    madvise(lines, BYTES, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < LINES; i++)
        lines[i].word = 2;
    printf("memory/random %.1f\n", chase(5000000));
    printf("memory/prefetched %.1f\n", prefetched(32000000));
    printf("memory/read %.1f\n", in_order());
    printf("memory/handed %.1f\n", both(hand, 2.0 * HANDS));
    printf("memory/added %.1f\n", both(add, 2.0 * ADDS));
    return 0;
}
