// walk.h: all of some numbers, each once in a round, in an order that looks random.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// All flows of 0..flows once in each round: powers of a primitive root modulo the next prime.
struct walk {
    uint64_t at, factor, prime, reciprocal, flows;
};

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
