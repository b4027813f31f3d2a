// A Linux of 6.1 that runs as a process sets the floating-point registers of its programs by
// ptrace, in a buffer of 2,696 bytes. The host takes them as a whole or not at all (EFAULT), and
// on a CPU with AMX the whole is longer: not one program starts. This library, preloaded into that
// Linux, adds what is missing: registers that its programs cannot have used, in their first state.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long tracer(enum __ptrace_request request, ...);

// Bytes of the host's whole set, of process `pid`; 0 where it does not tell.
static size_t whole_size(tracer *host, long pid, struct iovec all) {
    static size_t size;
    if (!size && host(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) == 0)
        size = all.iov_len;
    return size;
}

long ptrace(enum __ptrace_request request, ...) {
    static tracer *host;
    static char area[1 << 16];
    va_list rest;
    va_start(rest, request);
    long pid = va_arg(rest, long);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!host)
        host = (tracer *)dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
        return host(request, pid, address, data);

    const struct iovec *given = data;
    struct iovec all = {area, sizeof area};
    all.iov_len = whole_size(host, pid, all);
    if (given->iov_len >= all.iov_len)
        return host(request, pid, address, data);
    memset(area, 0, all.iov_len);
    memcpy(area, given->iov_base, given->iov_len);
    return host(request, pid, address, &all);
}
