// feed INTERFACE MAC FLOWS RUNS: frames for a kernel's receive path, and what they cost.
//
// Frames of 60 bytes (TCP, to 10.1.0.1:80) of so many connections enter through XDP live frames
// (BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES): a small XDP program writes client, port and
// checksums of the next connection into each frame and passes it on, as if the interface had
// received it. First one SYN for each connection, then one ACK for each, then RUNS times a
// million ACKs, in an order that is not that of creation. Then the same with a program that drops:
// what feeding alone costs.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 0x0a400000 // 10.64.0.0, 64 ports each from 1024, as the generator has them
#define SYN 0x02
#define ACK 0x10
#define RUN 1000000

static uint8_t frame[60];

static long bpf(int command, union bpf_attr *attributes) {
    return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static void check(long result, const char *what, const char *log) {
    if (result >= 0)
        return;
    printf("feed: %s: %s\n%s", what, strerror(errno), log);
    exit(1);
}

// The sum of the frame's 16-bit words from one byte to another.
static uint32_t sum_of(int from, int to) {
    uint32_t sum = 0;
    for (int i = from; i < to; i += 2)
        sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
    return sum;
}

static void make_frame(const char *mac, uint8_t flags) {
    memset(frame, 0, sizeof frame);
    if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", frame, frame + 1, frame + 2, frame + 3,
               frame + 4, frame + 5) != 6) {
        printf("feed: no MAC address: %s\n", mac);
        exit(1);
    }
    memcpy(frame + 6, "\x02\0\0\0\0\x01\x08\0\x45\0\0\x2e\0\0\x40\0\x40\x06", 18);
    memcpy(frame + 30, "\x0a\x01\0\x01\0\0\0\x50", 8);
    frame[41] = frame[45] = 1;
    frame[46] = 0x50;
    frame[47] = flags;
    frame[48] = frame[49] = 0xff;
}

static int make_map(void) {
    union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
                        .max_entries = 1};
    long map = bpf(BPF_MAP_CREATE, &a);
    check(map, "no map", "");
    return (int)map;
}

#define INSTRUCTION(c, d, s, o, i)                                                               \
    ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (int)(i)})
#define MOVE(d, s) INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i) INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define CONSTANT(op, d, i) INSTRUCTION(BPF_ALU64 | (op), d, 0, 0, i)
#define REGISTER(op, d, s) INSTRUCTION(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define LOAD(size, d, s, o) INSTRUCTION(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STORE(size, d, s, o) INSTRUCTION(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define BIG_ENDIAN_OF(d, bits) INSTRUCTION(BPF_ALU | BPF_END | BPF_TO_BE, d, 0, 0, bits)
#define FOLD(r, t)                                                                               \
    MOVE(t, r), CONSTANT(BPF_RSH, t, 16), CONSTANT(BPF_AND, r, 0xffff), REGISTER(BPF_ADD, r, t)

// The program: r2 is the connection's number, which goes on by `stride` modulo `flows`.
static int load(int map, uint32_t flows, uint32_t stride, int verdict) {
    uint32_t ip = sum_of(14, 34), tcp = sum_of(30, 54) + 6 + 26;
    struct bpf_insn code[] = {
        LOAD(BPF_W, 3, 1, 0), LOAD(BPF_W, 4, 1, 4),
        INSTRUCTION(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_VALUE, 0, map),
        INSTRUCTION(0, 0, 0, 0, 0),
        LOAD(BPF_DW, 2, 1, 0), CONSTANT(BPF_ADD, 2, stride),
        INSTRUCTION(BPF_JMP | BPF_JLT | BPF_K, 2, 0, 1, flows), CONSTANT(BPF_SUB, 2, flows),
        STORE(BPF_DW, 1, 2, 0),
        MOVE(5, 3), CONSTANT(BPF_ADD, 5, sizeof frame),
        INSTRUCTION(BPF_JMP | BPF_JGT | BPF_X, 5, 4, 37, 0),
        MOVE(5, 2), CONSTANT(BPF_AND, 5, 63), CONSTANT(BPF_ADD, 5, 1024), // port
        MOVE(0, 2), CONSTANT(BPF_RSH, 0, 6), CONSTANT(BPF_ADD, 0, CLIENTS), // client
        MOVE(7, 0), CONSTANT(BPF_RSH, 7, 16), MOVE(8, 0), CONSTANT(BPF_AND, 8, 0xffff),
        REGISTER(BPF_ADD, 7, 8), MOVE(8, 7), // both have the sum of the client's address
        CONSTANT(BPF_ADD, 7, ip), FOLD(7, 9), FOLD(7, 9), CONSTANT(BPF_XOR, 7, 0xffff),
        BIG_ENDIAN_OF(7, 16), STORE(BPF_H, 3, 7, 24),
        CONSTANT(BPF_ADD, 8, tcp), REGISTER(BPF_ADD, 8, 5), FOLD(8, 9),
        CONSTANT(BPF_XOR, 8, 0xffff),
        BIG_ENDIAN_OF(8, 16), STORE(BPF_H, 3, 8, 50),
        BIG_ENDIAN_OF(0, 32), STORE(BPF_W, 3, 0, 26), BIG_ENDIAN_OF(5, 16), STORE(BPF_H, 3, 5, 34),
        SET(0, verdict), INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    static char log[65536];
    int count = sizeof code / sizeof *code;
    code[11].off = (int16_t)(count - 2 - 12); // to where the verdict is set
    union bpf_attr a = {.prog_type = BPF_PROG_TYPE_XDP, .insns = (uint64_t)(uintptr_t)code,
                        .insn_cnt = (uint32_t)count, .license = (uint64_t)(uintptr_t) "Apache-2.0",
                        .log_buf = (uint64_t)(uintptr_t)log, .log_size = sizeof log,
                        .log_level = 1};
    long program = bpf(BPF_PROG_LOAD, &a);
    check(program, "the XDP program is refused", log);
    return (int)program;
}

// Nanoseconds for each frame.
static double feed(int program, int interface, uint32_t count) {
    struct xdp_md context = {.data_end = sizeof frame, .ingress_ifindex = (uint32_t)interface};
    struct timespec begin, end;
    union bpf_attr a = {.test = {.prog_fd = (uint32_t)program,
                                 .data_in = (uint64_t)(uintptr_t)frame,
                                 .data_size_in = sizeof frame,
                                 .ctx_in = (uint64_t)(uintptr_t)&context,
                                 .ctx_size_in = sizeof context,
                                 .repeat = count,
                                 .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                                 .batch_size = 64}};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    check(bpf(BPF_PROG_TEST_RUN, &a), "frames cannot be fed", "");
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
           count;
}

static uint32_t divisor(uint32_t a, uint32_t b) { return b ? divisor(b, a % b) : a; }

int main(int count, char **words) {
    if (count != 5)
        return printf("usage: feed INTERFACE MAC FLOWS RUNS\n"), 2;
    int interface = (int)if_nametoindex(words[1]), map = make_map(), runs = atoi(words[4]);
    uint32_t flows = (uint32_t)atoi(words[3]), stride = flows * 618ull / 1000 + 1;
    while (divisor(stride, flows) != 1)
        stride++;
    make_frame(words[2], SYN);
    printf("syn %.1f\n", feed(load(map, flows, 1 % flows, XDP_PASS), interface, flows));
    make_frame(words[2], ACK);
    feed(load(map, flows, 1 % flows, XDP_PASS), interface, flows);
    int passing = load(map, flows, stride % flows, XDP_PASS);
    for (int run = 0; run < runs; run++)
        printf("ack %.1f\n", feed(passing, interface, RUN));
    int dropping = load(map, flows, stride % flows, XDP_DROP);
    for (int run = 0; run < runs; run++)
        printf("feed %.1f\n", feed(dropping, interface, RUN));
    return 0;
}
