// Preloaded into a process, keeps beside a directory what a disk has of it: $POWER_DIRECTORY as fsync left it.
// $POWER_DISK gets a file for each inode, with its content when it was last synchronised, and `names`, the entries of
// the directory when that was: lines of inode and name.

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using Sync = int (*)(int);

void save_content(int fd, const struct stat &info, const char *disk) {
    char temporary[PATH_MAX], path[PATH_MAX], piece[65536];
    snprintf(path, sizeof path, "%s/%lu", disk, static_cast<unsigned long>(info.st_ino));
    snprintf(temporary, sizeof temporary, "%s/new", disk);
    const int out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t at = 0;
    for (ssize_t n; (n = pread(fd, piece, sizeof piece, at)) > 0; at += n)
        if (write(out, piece, static_cast<size_t>(n)) != n) abort();
    close(out);
    rename(temporary, path);
}

void save_names(const char *directory, const char *disk) {
    char temporary[PATH_MAX], path[PATH_MAX];
    snprintf(path, sizeof path, "%s/names", disk);
    snprintf(temporary, sizeof temporary, "%s/new", disk);
    FILE *const out = fopen(temporary, "w");
    DIR *const entries = opendir(directory);
    while (const dirent *entry = readdir(entries))
        if (entry->d_type == DT_REG) fprintf(out, "%lu %s\n", static_cast<unsigned long>(entry->d_ino), entry->d_name);
    closedir(entries);
    fclose(out);
    rename(temporary, path);
}

int synchronise(int fd, const char *name) {
    const char *const directory = getenv("POWER_DIRECTORY");
    const char *const disk = getenv("POWER_DISK");
    char link[64], path[PATH_MAX];
    struct stat info;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (directory != nullptr && disk != nullptr && n > 0 && fstat(fd, &info) == 0) {
        path[n] = 0;
        if (S_ISDIR(info.st_mode) && strcmp(path, directory) == 0)
            save_names(directory, disk);
        else if (strncmp(path, directory, strlen(directory)) == 0)
            save_content(fd, info, disk);
    }
    return reinterpret_cast<Sync>(dlsym(RTLD_NEXT, name))(fd);
}

}  // namespace

extern "C" int fsync(int fd) { return synchronise(fd, "fsync"); }

extern "C" int fdatasync(int fd) { return synchronise(fd, "fdatasync"); }
