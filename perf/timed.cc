// Runs a command and writes its wall seconds, CPU seconds and peak resident KiB to a file:
//
//   timed FILE COMMAND [ARGUMENT…]
//
// A process counts the peak of the one that it was forked from as its own, so the one that forks has to be small.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: timed FILE COMMAND [ARGUMENT…]\n");
        return 2;
    }
    auto start = std::chrono::steady_clock::now();
    pid_t child = fork();
    if (child < 0) {
        perror("timed: fork");
        return 126;
    }
    if (child == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    int status;
    struct rusage usage;
    if (wait4(child, &status, 0, &usage) != child) {
        perror("timed: wait4");
        return 126;
    }
    std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    auto seconds = [](const timeval &t) { return t.tv_sec + t.tv_usec / 1e6; };
    FILE *file = fopen(argv[1], "w");
    if (!file) {
        perror(argv[1]);
        return 126;
    }
    fprintf(file, "%.6f %.6f %ld\n", wall.count(), seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss);
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
