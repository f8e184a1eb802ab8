// Preloaded into a process, kills it at the $CRASH_AT-th call that changes a file below $CRASH_DIRECTORY.
// Of a write then only the first half is done if $CRASH_TORN is set; nothing of any other call.

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

int calls = 0;

template <class Function> Function *next_of(const char *name) {
    return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
}

bool is_there(const char *path) {
    const char *const directory = getenv("CRASH_DIRECTORY");
    return directory != nullptr && strncmp(path, directory, strlen(directory)) == 0;
}

bool is_there(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return false;
    path[n] = 0;
    return is_there(path);
}

bool is_due() {
    const char *const at = getenv("CRASH_AT");
    return at != nullptr && ++calls == atoi(at);
}

template <class File> void pass(const File &file) {
    if (is_there(file) && is_due()) kill(getpid(), SIGKILL);
}

}  // namespace

extern "C" ssize_t pwrite64(int fd, const void *text, size_t size, off_t offset) {
    const auto write_at = next_of<ssize_t(int, const void *, size_t, off_t)>("pwrite64");
    if (is_there(fd) && is_due()) {
        if (getenv("CRASH_TORN") != nullptr && write_at(fd, text, size / 2, offset) < 0) abort();
        kill(getpid(), SIGKILL);
    }
    return write_at(fd, text, size, offset);
}

extern "C" int fsync(int fd) {
    pass(fd);
    return next_of<int(int)>("fsync")(fd);
}

extern "C" int fdatasync(int fd) {
    pass(fd);
    return next_of<int(int)>("fdatasync")(fd);
}

extern "C" int ftruncate64(int fd, off_t size) {
    pass(fd);
    return next_of<int(int, off_t)>("ftruncate64")(fd, size);
}

extern "C" int unlink(const char *path) {
    pass(path);
    return next_of<int(const char *)>("unlink")(path);
}

extern "C" int rename(const char *from, const char *to) {
    pass(from);
    return next_of<int(const char *, const char *)>("rename")(from, to);
}
