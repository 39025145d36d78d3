/* Lets the n-th I/O call on files below one folder fail, for this process, whoever makes it: Python,
 * or SQLite. For LD_PRELOAD on Linux; damaged_runs.py compiles it and says which call by ctypes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_FILES 65536

static char below[4096];
static unsigned char is_below[MOST_FILES];
static long calls, fails_at;
static int fails_with, for_ever;

/* at: the first call that fails, from 1; 0: none does. Returns how many there were since. */
long failing_io(const char *folder, long at, int with, int ever) {
    long counted = calls;
    strncpy(below, folder, sizeof below - 1);
    calls = 0;
    fails_at = at;
    fails_with = with;
    for_ever = ever;
    return counted;
}

static int lies_below(const char *path) {
    size_t size = strlen(below);
    return size && path && !strncmp(path, below, size);
}

static int fails(int counts) {
    if (!counts) return 0;
    calls++;
    if (!fails_at || calls < fails_at || (calls > fails_at && !for_ever)) return 0;
    errno = fails_with;
    return 1;
}

static int of(int file) { return file >= 0 && file < MOST_FILES && is_below[file]; }

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        va_list more;                                                                 \
        va_start(more, flags);                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;       \
        va_end(more);                                                                 \
        REAL(name);                                                                   \
        int counts = lies_below(path);                                                \
        if (fails(counts)) return -1;                                                 \
        int file = real(path, flags, mode);                                           \
        if (file >= 0 && file < MOST_FILES) is_below[file] = counts;                  \
        return file;                                                                  \
    }
OPEN(open)
OPEN(open64)

#define OPEN_AT(name)                                                                 \
    int name(int folder, const char *path, int flags, ...) {                          \
        va_list more;                                                                 \
        va_start(more, flags);                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;       \
        va_end(more);                                                                 \
        REAL(name);                                                                   \
        int counts = lies_below(path) || of(folder);                                  \
        if (fails(counts)) return -1;                                                 \
        int file = real(folder, path, flags, mode);                                   \
        if (file >= 0 && file < MOST_FILES) is_below[file] = counts;                  \
        return file;                                                                  \
    }
OPEN_AT(openat)
OPEN_AT(openat64)

/* A file that cannot be closed is closed all the same. */
int close(int file) {
    REAL(close);
    if (file >= 0 && file < MOST_FILES) is_below[file] = 0;
    return real(file);
}

#define ON_FILE(type, name, parameters, arguments)                                    \
    type name parameters {                                                            \
        REAL(name);                                                                   \
        return fails(of(file)) ? -1 : real arguments;                                 \
    }
ON_FILE(ssize_t, read, (int file, void *to, size_t size), (file, to, size))
ON_FILE(ssize_t, write, (int file, const void *from, size_t size), (file, from, size))
ON_FILE(ssize_t, pread, (int file, void *to, size_t size, off_t at), (file, to, size, at))
ON_FILE(ssize_t, pread64, (int file, void *to, size_t size, off64_t at), (file, to, size, at))
ON_FILE(ssize_t, pwrite, (int file, const void *from, size_t size, off_t at), (file, from, size, at))
ON_FILE(ssize_t, pwrite64, (int file, const void *from, size_t size, off64_t at),
        (file, from, size, at))
ON_FILE(int, fsync, (int file), (file))
ON_FILE(int, fdatasync, (int file), (file))
ON_FILE(int, ftruncate, (int file, off_t size), (file, size))
ON_FILE(int, ftruncate64, (int file, off64_t size), (file, size))
ON_FILE(int, flock, (int file, int how), (file, how))

#define ON_PATH(name, parameters, arguments)                                          \
    int name parameters {                                                             \
        REAL(name);                                                                   \
        return fails(lies_below(path)) ? -1 : real arguments;                         \
    }
ON_PATH(rename, (const char *path, const char *to), (path, to))
ON_PATH(unlink, (const char *path), (path))
ON_PATH(rmdir, (const char *path), (path))
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
