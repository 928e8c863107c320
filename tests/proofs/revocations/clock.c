// The clock of a server under test: the microseconds since 1970 that the file CLOCK holds. libfaketime does not run with
// jemalloc, which Debian's Redis has.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    static volatile long long *held;
    if (!held) held = mmap(0, sizeof *held, PROT_READ, MAP_SHARED, open(getenv("CLOCK"), O_RDONLY), 0);
    return *held;
}

int gettimeofday(struct timeval *at, void *zone) {
    (void)zone;
    long long micros = now();
    at->tv_sec = micros / 1000000;
    at->tv_usec = micros % 1000000;
    return 0;
}

time_t time(time_t *at) {
    time_t second = now() / 1000000;
    if (at) *at = second;
    return second;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (id != CLOCK_REALTIME) return syscall(SYS_clock_gettime, id, at);
    long long micros = now();
    at->tv_sec = micros / 1000000;
    at->tv_nsec = micros % 1000000 * 1000;
    return 0;
}
