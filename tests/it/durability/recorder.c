/* What a program does to the files of one folder: recorded in order, and made to fail on request.
 *
 * Preloaded into the real binary (LD_PRELOAD). RECORDER_FOLDER names the folder, without links and without
 * a slash at the end. RECORDER_LOG, where it is set, names the file that gets one record a call; its layout
 * is read by recording.rs. RECORDER_CONTROL names a file of eight 64-bit numbers that the test changes while
 * the program runs: the errors to fail with, how many seconds the wall clock is off, and after how many
 * recorded calls the process is killed.
 *
 * A call that changes something is made and recorded under one lock, so the log has the order in which the
 * kernel saw them. An answer to a client is recorded before it is sent: what was promised is never later in
 * the log than the promise. The -shm file is no record's subject: it means nothing after a power cut.
 *
 * Calls go to the kernel directly, so nothing here depends on the order in which libraries start.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC, SYNC_FOLDER, UNLINK, ANSWER, SYNC_FAILED };
enum { WRITE_ERROR = 0, READ_ERROR, SYNC_ERROR, OPEN_ERROR, CLOCK_OFFSET_SECS, FAILED_CALLS, DATABASE_SYNC_ERROR, KILL_AFTER };
enum { OUTSIDE = 0, DATABASE, OTHER_FILE, SHM, FOLDER };

#define MAX_FD 4096
/* owed: what the next sync is to fail with, since a sync of the file by another descriptor failed. */
static struct { int kind, owed; uint64_t inode; } table[MAX_FD];
static char folder[PATH_MAX];
static int log_fd = -1;
static volatile int64_t none[8];
static volatile int64_t *control = none;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RECORDER_FOLDER");
    if (path) snprintf(folder, sizeof folder, "%s", path);
    if ((path = getenv("RECORDER_LOG")))
        log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if ((path = getenv("RECORDER_CONTROL"))) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
        void *page = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) abort();
        control = page;
        syscall(SYS_close, fd);
    }
}

struct head { uint32_t kind, port; uint64_t inode, offset, length; };

static void record(uint32_t kind, uint32_t port, uint64_t inode, uint64_t offset, const void *data, size_t length) {
    if (control[KILL_AFTER] > 0 && __sync_sub_and_fetch(&control[KILL_AFTER], 1) == 0)
        syscall(SYS_kill, getpid(), SIGKILL);
    if (log_fd < 0) return;
    struct head head = { kind, port, inode, offset, length };
    struct iovec parts[2] = { { &head, sizeof head }, { (void *)data, length } };
    if (syscall(SYS_writev, log_fd, parts, 2) != (long)(sizeof head + length)) abort();
}

/* Whether the call is to fail, with errno set. */
static int fails(int fd, int which) {
    int64_t error = control[which]; /* once: the test may change it meanwhile */
    if (fd < 0 || fd >= MAX_FD || table[fd].kind == OUTSIDE || !error) return 0;
    __sync_fetch_and_add(&control[FAILED_CALLS], 1);
    errno = (int)error;
    return 1;
}

static int is_file(int fd) {
    return fd >= 0 && fd < MAX_FD && (table[fd].kind == DATABASE || table[fd].kind == OTHER_FILE);
}

/* The name within the folder; "" is the folder itself, NULL is elsewhere. */
static const char *inside(const char *path) {
    size_t length = strlen(folder);
    if (!length || strncmp(path, folder, length)) return NULL;
    if (!path[length]) return "";
    return path[length] == '/' ? path + length + 1 : NULL;
}

static int ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && !strcmp(text + a - b, end);
}

static int open_any(int at, const char *path, int flags, mode_t mode) {
    const char *name = inside(path);
    if (!name) return syscall(SYS_openat, at, path, flags, mode);
    int64_t wanted = control[OPEN_ERROR];
    if (wanted && (flags & (O_ACCMODE | O_CREAT))) {
        __sync_fetch_and_add(&control[FAILED_CALLS], 1);
        errno = (int)wanted;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int existed = !syscall(SYS_faccessat, at, path, F_OK, 0);
    int fd = syscall(SYS_openat, at, path, flags, mode);
    int error = errno;
    if (fd >= 0 && fd < MAX_FD) {
        struct stat stat;
        fstat(fd, &stat);
        table[fd].inode = stat.st_ino;
        table[fd].owed = 0;
        table[fd].kind = !*name ? FOLDER : ends_with(name, "-shm") ? SHM : ends_with(name, ".db") ? DATABASE : OTHER_FILE;
        if (is_file(fd) && !existed) record(CREATE, 0, stat.st_ino, 0, name, strlen(name));
        else if (is_file(fd) && (flags & O_TRUNC)) record(TRUNCATE, 0, stat.st_ino, 0, "", 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(NAME)                                             \
    int NAME(const char *path, int flags, ...) {               \
        mode_t mode = 0;                                       \
        if (flags & (O_CREAT | __O_TMPFILE)) {                 \
            va_list rest;                                      \
            va_start(rest, flags);                             \
            mode = va_arg(rest, mode_t);                       \
            va_end(rest);                                      \
        }                                                      \
        return open_any(AT_FDCWD, path, flags, mode);          \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd < MAX_FD) table[fd].kind = OUTSIDE;
    return syscall(SYS_close, fd);
}

static void answer(int fd, const void *data, size_t length) {
    if (log_fd < 0 || length < 9 || memcmp(data, "HTTP/1.1 ", 9)) return;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) || peer.sin_family != AF_INET) return;
    pthread_mutex_lock(&lock);
    record(ANSWER, ntohs(peer.sin_port), 0, 0, data, length < 16 ? length : 16);
    pthread_mutex_unlock(&lock);
}

static ssize_t write_any(int fd, const void *data, size_t length, off_t offset) {
    if (fails(fd, WRITE_ERROR)) return -1;
    if (!is_file(fd)) {
        if (offset >= 0) return syscall(SYS_pwrite64, fd, data, length, offset);
        answer(fd, data, length);
        return syscall(SYS_write, fd, data, length);
    }
    pthread_mutex_lock(&lock);
    off_t at = offset >= 0 ? offset : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t done = offset >= 0 ? syscall(SYS_pwrite64, fd, data, length, offset) : syscall(SYS_write, fd, data, length);
    int error = errno;
    if (done > 0) record(WRITE, 0, table[fd].inode, at, data, done);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return write_any(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return write_any(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) { return write_any(fd, data, length, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (is_file(fd)) abort(); /* nobody does this; it would be missing in the log */
    if (count > 0) answer(fd, parts[0].iov_base, parts[0].iov_len);
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    answer(fd, data, length);
    return syscall(SYS_sendto, fd, data, length, flags, NULL, 0);
}

ssize_t read(int fd, void *data, size_t length) {
    return fails(fd, READ_ERROR) ? -1 : syscall(SYS_read, fd, data, length);
}
ssize_t pread(int fd, void *data, size_t length, off_t offset) {
    return fails(fd, READ_ERROR) ? -1 : syscall(SYS_pread64, fd, data, length, offset);
}
ssize_t pread64(int fd, void *data, size_t length, off_t offset) { return pread(fd, data, length, offset); }

int ftruncate(int fd, off_t size) {
    if (fails(fd, WRITE_ERROR)) return -1;
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_ftruncate, fd, size);
    int error = errno;
    if (!result && is_file(fd)) record(TRUNCATE, 0, table[fd].inode, size, "", 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

/* Whether what is not yet on the disk is lost. Linux tells each open descriptor of the file once (errseq_t, since
 * 4.13). Of the database's own file only the first that asks is told here, as older kernels do: a checkpoint must
 * not rest on being told what another's sync met. */
static int sync_fails(int fd) {
    int failed = fails(fd, SYNC_ERROR) || (is_file(fd) && table[fd].kind == DATABASE && fails(fd, DATABASE_SYNC_ERROR));
    if (!failed || !is_file(fd)) return failed;
    for (int other = 0; other < MAX_FD; other++)
        if (other != fd && is_file(other) && table[other].kind != DATABASE && table[other].inode == table[fd].inode)
            table[other].owed = errno;
    record(SYNC_FAILED, 0, table[fd].inode, 0, "", 0);
    return 1;
}

static int sync_any(long number, int fd) {
    pthread_mutex_lock(&lock);
    int result = -1, error;
    if (sync_fails(fd)) {
        error = errno;
    } else {
        result = syscall(number, fd);
        error = errno;
        if (!result && is_file(fd)) record(SYNC, 0, table[fd].inode, 0, "", 0);
        if (!result && fd >= 0 && fd < MAX_FD && table[fd].kind == FOLDER) record(SYNC_FOLDER, 0, 0, 0, "", 0);
        if (is_file(fd) && table[fd].owed) {
            result = -1;
            error = table[fd].owed;
        }
    }
    if (is_file(fd)) table[fd].owed = 0;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int fsync(int fd) { return sync_any(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_any(SYS_fdatasync, fd); }

int unlink(const char *path) {
    const char *name = inside(path);
    int64_t wanted = control[WRITE_ERROR];
    if (name && wanted) {
        errno = (int)wanted;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    int error = errno;
    if (!result && name) record(UNLINK, 0, 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) {
    if (inside(from) || inside(to)) abort(); /* nobody does this; it would be missing in the log */
    return syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (!result && clock == CLOCK_REALTIME) time->tv_sec += control[CLOCK_OFFSET_SECS];
    return result;
}
