// A thread that gets hold of files the moment they have their names; it never waits for the interpreter.
#ifndef NATIVEMTAIL_LOOKOUT_HPP
#define NATIVEMTAIL_LOOKOUT_HPP

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

class LookoutThread {
    static constexpr int HASTE = 10;
    static constexpr size_t NAMES = 256;
    int inotify = -1, stopping = -1;
    std::mutex guard;
    using Pieces = std::vector<std::string>;
    struct Directory {
        std::string path;
        std::vector<Pieces> names;
    };
    std::unordered_map<int, Directory> directories;
    std::deque<std::pair<std::string, int>> held;
    std::thread thread;

  public:
    static constexpr size_t HELD = 128;
    int ready = -1;

    ~LookoutThread() { stop(); }

    // 0, or an errno.
    int start() noexcept {
        inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (inotify < 0) return errno;
        ready = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        stopping = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (ready < 0 || stopping < 0) return errno;
        // Signals are for the interpreter's threads.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int problem = 0;
        try {
            thread = std::thread([this] { run(); });
        } catch (...) {
            problem = EAGAIN;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return problem;
    }

    int watch(const char *directory, Pieces *pieces) noexcept {
        std::lock_guard<std::mutex> hold(guard);
        const int number = inotify_add_watch(inotify, directory, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
        if (number < 0) return errno;
        try {
            Directory &watched = directories[number];
            watched.path = directory;
            for (const Pieces &known : watched.names) {
                if (known == *pieces) return 0;
            }
            if (watched.names.size() == NAMES) watched.names.assign(1, Pieces(2));  // any name
            watched.names.push_back(std::move(*pieces));
        } catch (...) {
            return ENOMEM;
        }
        return 0;
    }

    // The oldest file that is held, if there is one: it is the caller's now.
    bool take(std::string *path, int *fd) noexcept {
        std::lock_guard<std::mutex> hold(guard);
        if (held.empty()) return false;
        path->swap(held.front().first);
        *fd = held.front().second;
        held.pop_front();
        return true;
    }

    void stop() noexcept {
        if (thread.joinable()) {
            const uint64_t one = 1;
            while (write(stopping, &one, sizeof one) < 0 && errno == EINTR) {}
            thread.join();
        }
        for (const auto &entry : held) close(entry.second);
        held.clear();
        for (int *fd : {&inotify, &ready, &stopping}) {
            if (*fd >= 0) close(*fd);
            *fd = -1;
        }
    }

  private:
    void run() noexcept {
        // A busy machine lets others wait for tens of milliseconds; who may not ask for more waits too.  A process that
        // was started to yield to others does so with all its threads.
        const id_t self = static_cast<id_t>(syscall(SYS_gettid));
        errno = 0;
        const int niceness = getpriority(PRIO_PROCESS, self);
        if (errno == 0 && niceness <= 0) setpriority(PRIO_PROCESS, self, niceness - HASTE);
        pthread_setname_np(pthread_self(), "lookout");
        pollfd fds[2] = {{inotify, POLLIN, 0}, {stopping, POLLIN, 0}};
        while (true) {
            if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
            if (fds[1].revents) return;
            if (fds[0].revents) look();
        }
    }

    void look() noexcept {
        alignas(inotify_event) char buffer[16 * 1024];
        const ssize_t n = read(inotify, buffer, sizeof buffer);
        bool any = false;
        for (ssize_t at = 0; at < n;) {
            const auto *event = reinterpret_cast<const inotify_event *>(buffer + at);
            at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
            try {
                any |= take_hold(event);
            } catch (...) {
                continue;  // no memory: the tail thread may find the file by its name
            }
        }
        const uint64_t one = 1;
        if (any && write(ready, &one, sizeof one) < 0) return;
    }

    static bool is_wanted(const Directory &directory, const std::string &name) noexcept {
        for (const Pieces &pieces : directory.names) {
            if (has(name, pieces)) return true;
        }
        return false;
    }

    static bool has(const std::string &name, const Pieces &pieces) noexcept {
        if (pieces.size() < 2) return !pieces.empty() && name == pieces[0];
        const std::string &first = pieces.front(), &last = pieces.back();
        if (name.size() < first.size() + last.size() || name.compare(0, first.size(), first)) return false;
        const size_t end = name.size() - last.size();
        if (name.compare(end, last.size(), last)) return false;
        size_t at = first.size();
        for (size_t i = 1; i + 1 < pieces.size(); i++) {
            at = name.find(pieces[i], at);
            if (at == std::string::npos) return false;
            at += pieces[i].size();
        }
        return at <= end;
    }

    bool take_hold(const inotify_event *event) {
        std::lock_guard<std::mutex> hold(guard);
        if (event->mask & IN_IGNORED) directories.erase(event->wd);
        const auto found = directories.find(event->wd);
        if (found == directories.end() || !event->len || event->mask & IN_ISDIR || held.size() >= HELD) return false;
        const Directory &directory = found->second;
        if (!is_wanted(directory, event->name)) return false;
        std::string path = directory.path + (directory.path == "/" ? "" : "/") + event->name;
        // Not opened for reading: that would let the writer of a named pipe start, and permission is asked for later.
        const int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
        if (fd < 0) return false;
        try {
            held.emplace_back(std::move(path), fd);
        } catch (...) {
            close(fd);
            throw;
        }
        return true;
    }
};

#endif
