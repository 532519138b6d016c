/* A machine of one's own for one process: preloaded, it answers for the disk and the clocks.
 *
 * What the machine is like lies in the file that FAULTY_MACHINE names, which both sides map, so that a change holds at
 * once; faulty_machine.py has the other half of the layout. Descriptors 0 to 2 and whatever is no regular file are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct {
    volatile int64_t sync_delay_ms;  /* every sync takes so much longer */
    volatile int64_t sync_errno;     /* every sync fails with this; 0: none does */
    volatile int64_t write_errno;    /* writes are cut short, to half and half again, and the last byte fails with this */
    volatile int64_t wall_offset_ms; /* what the wall clock shows too much */
    volatile double clock_rate;      /* of the monotonic clocks; read once, when the process starts */
} *machine;

static double rate = 1.0;
static struct timespec start; /* where the machine's monotonic clock and the true one agree */

/* The function that this file stands before, looked up once. */
#define TRUE(name)                                                         \
    ({                                                                     \
        static __typeof__(&name) function;                                 \
        if (!function) function = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
        function;                                                          \
    })

static int64_t nanoseconds(const struct timespec *time) { return time->tv_sec * 1000000000LL + time->tv_nsec; }

static struct timespec timespec_of(int64_t nanoseconds) {
    return (struct timespec){nanoseconds / 1000000000LL, nanoseconds % 1000000000LL};
}

__attribute__((constructor)) static void set_up(void) {
    const char *path = getenv("FAULTY_MACHINE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *machine, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) _exit(127); /* rather than a test that passes without its fault */
    close(file);
    TRUE(clock_gettime)(CLOCK_MONOTONIC, &start);
    machine = mapped;
    rate = machine->clock_rate;
}

/* -- the disk */

static int is_file(int descriptor) {
    struct stat status;
    return machine && descriptor > STDERR_FILENO && !fstat(descriptor, &status) && S_ISREG(status.st_mode);
}

/* How much of a write gets through: whoever asks again for the rest comes to its last byte, which never does. */
static ssize_t let_through(int descriptor, size_t count) {
    if (!is_file(descriptor) || !machine->write_errno) return count;
    if (count > 1) return count / 2;
    errno = machine->write_errno;
    return -1;
}

ssize_t write(int descriptor, const void *data, size_t count) {
    ssize_t part = let_through(descriptor, count);
    return part < 0 ? part : TRUE(write)(descriptor, data, part);
}

ssize_t pwrite(int descriptor, const void *data, size_t count, off_t offset) {
    ssize_t part = let_through(descriptor, count);
    return part < 0 ? part : TRUE(pwrite)(descriptor, data, part, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t count, off64_t offset) {
    ssize_t part = let_through(descriptor, count);
    return part < 0 ? part : TRUE(pwrite64)(descriptor, data, part, offset);
}

static int sync_with(int (*sync)(int), int descriptor) {
    if (is_file(descriptor)) {
        struct timespec delay = timespec_of(machine->sync_delay_ms * 1000000LL);
        nanosleep(&delay, NULL);
        if (machine->sync_errno) {
            errno = machine->sync_errno;
            return -1;
        }
    }
    return sync(descriptor);
}

int fsync(int descriptor) { return sync_with(TRUE(fsync), descriptor); }
int fdatasync(int descriptor) { return sync_with(TRUE(fdatasync), descriptor); }

/* -- the clocks */

static int is_monotonic(clockid_t clock) {
    return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
           clock == CLOCK_BOOTTIME;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = TRUE(clock_gettime)(clock, time);
    if (failed || !machine) return failed;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        *time = timespec_of(nanoseconds(time) + machine->wall_offset_ms * 1000000LL);
    else if (is_monotonic(clock))
        *time = timespec_of(nanoseconds(&start) + (int64_t)((nanoseconds(time) - nanoseconds(&start)) * rate));
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *kept) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept) *kept = now.tv_sec;
    return now.tv_sec;
}

/* The kernel wakes by the true clock, so a deadline that the process worked out by its own is translated. CPython
 * waits for its interpreter lock like this, ten microseconds at a time: untranslated, it would wait for the difference
 * of the clocks, or not at all. */
static struct timespec true_deadline(const struct timespec *deadline) {
    return timespec_of(nanoseconds(&start) + (int64_t)((nanoseconds(deadline) - nanoseconds(&start)) / rate));
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
    /* By version where there are two: without one, x86-64 gives that of 1998, with a condition of another size. */
    __typeof__(&pthread_cond_timedwait) wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!wait) wait = TRUE(pthread_cond_timedwait);
    struct timespec when = true_deadline(deadline);
    return wait(condition, mutex, &when);
}

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *deadline) {
    struct timespec when = is_monotonic(clock) ? true_deadline(deadline) : *deadline;
    return TRUE(sem_clockwait)(semaphore, clock, &when);
}
