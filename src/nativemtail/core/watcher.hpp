// The file watcher: reads inotify's events in order.  Its thread opens new files as soon as they are created, without
// waiting for the interpreter, so that they can be read even if they are deleted soon.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace nm {

struct WatchEvent {
    int watch;
    uint32_t mask;
    uint32_t cookie;
    std::string name;
    int fd;  // the new file, opened with O_PATH; -1: not opened
};

class WatcherThread {
    static constexpr int HASTE = 10;
    static constexpr int PAUSE_MS = 1;
    static constexpr size_t NAMES = 256;
    using Pieces = std::vector<std::string>;
    struct Directory {
        std::string path;
        std::vector<Pieces> names;
    };

    int inotify = -1, ready = -1, stopping = -1;
    std::mutex guard;  // guards all fields below
    std::unordered_map<int, Directory> directories;
    std::deque<WatchEvent> events;
    std::unordered_set<int> modified;  // watches with an IN_MODIFY in `events`
    size_t held = 0;                   // open descriptors in `events`
    bool lost = false;
    std::thread thread;

  public:
    static constexpr size_t HELD = 128;
    static constexpr size_t EVENTS = 1 << 16;

    ~WatcherThread() { stop(); }

    // Returns 0 or an errno.  Without a thread, new files are opened only when read() is called.
    int start(bool with_thread) noexcept {
        inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (inotify < 0) return errno;
        if (!with_thread) return 0;
        ready = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        stopping = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (ready < 0 || stopping < 0) return errno;
        // Signals must be delivered to the interpreter's threads.
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

    // A descriptor that is readable when there may be events.
    int descriptor() const noexcept { return ready < 0 ? inotify : ready; }

    // The number of the watch, or a negated errno.
    int add(const char *path, uint32_t mask) noexcept {
        const int number = inotify_add_watch(inotify, path, mask);
        return number < 0 ? -errno : number;
    }

    void remove(int number) noexcept {
        inotify_rm_watch(inotify, number);
        std::lock_guard<std::mutex> hold(guard);
        directories.erase(number);
    }

    // Open new files in the watched directory whose names have these pieces.  Returns 0 or an errno.
    int open_new(int number, const char *directory, Pieces *pieces) noexcept {
        std::lock_guard<std::mutex> hold(guard);
        try {
            Directory &watched = directories[number];
            watched.path = directory;
            for (const Pieces &known : watched.names) {
                if (known == *pieces) return 0;
            }
            if (watched.names.size() == NAMES) watched.names.assign(1, Pieces(2));  // too many: open all
            watched.names.push_back(std::move(*pieces));
        } catch (...) {
            return ENOMEM;
        }
        return 0;
    }

    // Append the oldest events, at most `most`; fewer means that there are no others yet.
    void read(size_t most, std::vector<WatchEvent> *found) noexcept {
        std::lock_guard<std::mutex> hold(guard);
        while (events.size() < most && receive() > 0) {}
        try {
            found->reserve(std::min(most, events.size() + 1));
            while (!events.empty() && found->size() < most) {
                if (events.front().fd >= 0) held--;
                if (events.front().mask == IN_MODIFY) modified.erase(events.front().watch);
                found->push_back(std::move(events.front()));
                events.pop_front();
            }
            if (lost && found->size() < most) {
                found->push_back({-1, IN_Q_OVERFLOW, 0, std::string(), -1});
                lost = false;
            }
        } catch (...) {
            lost = true;
        }
        uint64_t count;
        if (ready >= 0 && events.empty() && !lost && ::read(ready, &count, sizeof count) < 0) return;
    }

    void stop() noexcept {
        if (thread.joinable()) {
            const uint64_t one = 1;
            while (write(stopping, &one, sizeof one) < 0 && errno == EINTR) {}
            thread.join();
        }
        for (const WatchEvent &event : events) {
            if (event.fd >= 0) close(event.fd);
        }
        events.clear();
        for (int *fd : {&inotify, &ready, &stopping}) {
            if (*fd >= 0) close(*fd);
            *fd = -1;
        }
    }

  private:
    void run() noexcept {
        // On a busy machine scheduling can take tens of milliseconds, so raise the priority; without CAP_SYS_NICE this
        // has no effect.  A process that was started with `nice` stays nice in all its threads.
        const id_t self = static_cast<id_t>(syscall(SYS_gettid));
        errno = 0;
        const int niceness = getpriority(PRIO_PROCESS, self);
        if (errno == 0 && niceness <= 0) setpriority(PRIO_PROCESS, self, niceness - HASTE);
        pthread_setname_np(pthread_self(), "file-watcher");
        pollfd fds[2] = {{stopping, POLLIN, 0}, {inotify, POLLIN, 0}};
        while (true) {
            if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
            if (fds[0].revents) return;
            if (!fds[1].revents) continue;
            ssize_t names;
            {
                std::lock_guard<std::mutex> hold(guard);
                names = receive();
                const uint64_t one = 1;
                if ((lost || !events.empty()) && write(ready, &one, sizeof one) < 0 && errno != EAGAIN) return;
            }
            // Only created and renamed files are urgent.  The pause batches the events of a log written line by line.
            if (names == NO_NAMES) poll(fds, 1, PAUSE_MS);
        }
    }

    static constexpr ssize_t NO_NAMES = 1;

    // Queue the kernel's events.  Returns 0 if there are none, NO_NAMES if none is about a name, else more.
    ssize_t receive() noexcept {
        alignas(inotify_event) char buffer[16 * 1024];
        const ssize_t n = ::read(inotify, buffer, sizeof buffer);
        ssize_t result = n > 0 ? NO_NAMES : 0;
        for (ssize_t at = 0; at < n;) {
            const auto *event = reinterpret_cast<const inotify_event *>(buffer + at);
            at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
            if (event->len) result = NO_NAMES + 1;
            int fd = -1;
            try {
                if (event->mask & IN_IGNORED) directories.erase(event->wd);
                if (event->mask == IN_MODIFY && modified.count(event->wd)) continue;
                if (events.size() >= EVENTS) {
                    lost = true;
                    continue;
                }
                fd = open_if_new(event);
                events.push_back({event->wd, event->mask, event->cookie, event->len ? event->name : "", fd});
                if (fd >= 0) held++;
                if (event->mask == IN_MODIFY) modified.insert(event->wd);
            } catch (...) {
                if (fd >= 0) close(fd);
                lost = true;  // out of memory
            }
        }
        return result;
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

    int open_if_new(const inotify_event *event) {
        if (!(event->mask & (IN_CREATE | IN_MOVED_TO)) || event->mask & IN_ISDIR || !event->len || held >= HELD)
            return -1;
        const auto found = directories.find(event->wd);
        if (found == directories.end()) return -1;
        const Directory &directory = found->second;
        const std::string name = event->name;
        if (!is_wanted(directory, name)) return -1;
        const std::string path = directory.path + (directory.path == "/" ? "" : "/") + name;
        // O_PATH, as opening for reading would unblock the writer of a named pipe; permissions are checked later.
        return open(path.c_str(), O_PATH | O_CLOEXEC);
    }
};

}  // namespace nm
