/* The clock of a Redis server, moved by as many microseconds as the file `clock` in its folder says.
   libfaketime and Redis' jemalloc do not start together. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long moved(void) {
    static volatile long long *held;
    if (!held) {
        int file = open("clock", O_RDWR | O_CREAT, 0600);
        if (ftruncate(file, sizeof *held)) _exit(1);
        held = mmap(0, sizeof *held, PROT_READ, MAP_SHARED, file, 0);
    }
    return *held;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec at;
    (void)zone;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &at);
    long long micros = at.tv_sec * 1000000LL + at.tv_nsec / 1000 + moved();
    now->tv_sec = micros / 1000000;
    now->tv_usec = micros % 1000000;
    return 0;
}
