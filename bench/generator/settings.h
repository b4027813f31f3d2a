// settings.h: the words of the environment's GENERATOR; what they mean stands in generator.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVERS_MAX 1024

enum kind { KNOWN, NAT, NEW, MIX, ONLY_SYN, NONE };

static struct {
    enum kind kind;
    uint64_t flows, share, servers, services, family;
    bool is_colliding, is_other, is_held;
    char path[256];
} settings = {.flows = 1, .share = 10, .servers = 2, .services = 1, .family = 4};

static void fail(const char *what, const char *word) {
    fprintf(stderr, "generator: %s: '%s'\n", what, word);
    exit(1);
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
    static const char *const kinds[] = {"known", "nat", "new", "mix", "syn", "none", NULL};
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
    } else if (!strcmp(word, "hold") && (number == 1)) {
        settings.is_held = true;
    } else if (!strcmp(word, "family") && (number == 4 || number == 6)) {
        settings.family = number;
    } else {
        fail(word, value);
    }
}

static void read_settings(const char *from) {
    char words[1024], *rest = words, *word;
    snprintf(words, sizeof words, "%s", from ? from : "");
    while ((word = strsep(&rest, " ")))
        if (*word)
            read_word(word);
}
