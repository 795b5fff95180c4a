// System calls of Linux that the C library's Swift overlay does not offer. Each returns the system call's result, or -errno.
// Without _GNU_SOURCE: with it fd_set looks different from what the C library's overlay and libcurl's header have, and a program that imports all
// of them does not compile. What only _GNU_SOURCE declares is called by its number.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <nss.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static const int clinux_o_path = __O_PATH;

// openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS: nothing below a location leads out of it.
static inline int clinux_open_beneath(int directory, const char *path, int flags, unsigned mode) {
    struct open_how how = {.flags = (uint64_t)flags, .mode = mode, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long r;
    int races = 0;  // EAGAIN: a rename elsewhere raced with the walk; bounded, for someone may rename for ever
    do r = syscall(SYS_openat2, directory, path, &how, sizeof how);
    while (r < 0 && (errno == EINTR || (errno == EAGAIN && ++races < 100)));
    return r < 0 ? -errno : (int)r;
}

// renameat2(2); flags: 1 = RENAME_NOREPLACE, 2 = RENAME_EXCHANGE.
static inline int clinux_rename(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    return syscall(SYS_renameat2, from_directory, from, to_directory, to, flags) < 0 ? -errno : 0;
}

// getdents64(2) into a buffer of the caller's: no allocation per entry.
static inline long clinux_getdents(int descriptor, void *buffer, unsigned count) {
    long r = syscall(SYS_getdents64, descriptor, buffer, count);
    return r < 0 ? -errno : r;
}
// The type number of the file system that holds an open file (statfs(2)), and the bytes that an ordinary user can still write there.
static inline int clinux_file_system(int descriptor, uint64_t *type, uint64_t *free_bytes) {
    struct statfs s;
    if (fstatfs(descriptor, &s) < 0) return -errno;
    *type = (uint32_t)s.f_type;
    *free_bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_bsize;
    return 0;
}
// sync_file_range(2): starts writing dirty pages out and waits for nothing.
static inline int clinux_start_writeback(int descriptor, int64_t offset, int64_t count) {
    // 2: SYNC_FILE_RANGE_WRITE
    return syscall(SYS_sync_file_range, descriptor, offset, count, 2u) < 0 ? -errno : 0;
}
static inline int clinux_syncfs(int descriptor) { return syscall(SYS_syncfs, descriptor) < 0 ? -errno : 0; }
static inline int clinux_flock(int descriptor, int operation) { return flock(descriptor, operation) < 0 ? -errno : 0; }

// A file without a name in a folder: gone when it is closed.
static inline int clinux_open_temporary(const char *folder) {
    int r = open(folder, __O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return r < 0 ? -errno : r;
}

// To be called before the first getaddrinfo. /etc/nsswitch.conf may name plugins for host names (mdns, resolve, myhostname). In a static program
// (one without a loader: AT_BASE is 0) they bring the system's own C library with them, and the look-up ends in a crash. What is built in,
// /etc/hosts and DNS, does without.
static inline void clinux_look_up_names_without_plugins(void) {
    if (getauxval(AT_BASE) == 0) __nss_configure_lookup("hosts", "files dns");
}

// The environment as execve(2) wants it.
extern char **environ;
static inline char *const *clinux_environment(void) { return environ; }

// eventfd(2): a file that ends a poll(2) when somebody writes to it; does not block.
static inline int clinux_event(void) {
    int r = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return r < 0 ? -errno : r;
}

// pipe2(2), closed in children; and how many bytes a pipe should hold (F_SETPIPE_SZ), which a system may refuse.
static inline int clinux_pipe(int ends[2]) { return syscall(SYS_pipe2, ends, O_CLOEXEC) < 0 ? -errno : 0; }
static inline void clinux_grow_pipe(int descriptor, int count) { fcntl(descriptor, 1031, count); }
