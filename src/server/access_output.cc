#include "server/access_output.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "server/access_line.h"

namespace keelson::server {
namespace {

constexpr Duration kLookEach = std::chrono::seconds(1);
constexpr int kPatienceMs = 1000;  // for the reader of a pipe

size_t write_all(int file, std::string_view text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(file, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

}  // namespace

// Somebody else may move it away.
class AccessOutput::File final : public Destination {
 public:
  File(std::string path, const Clock& clock) : path_(std::move(path)), clock_(clock) {}
  ~File() override {
    if (file_ >= 0) ::close(file_);
  }

  absl::Status open() {
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file_ < 0) return absl::UnavailableError(std::strerror(errno));
    return absl::OkStatus();
  }

  size_t write(std::string_view text) override {
    if (const MonotonicTime now = clock_.now(); now >= next_look_) {
      next_look_ = now + kLookEach;
      if (!is_there()) reopen();
    }
    return file_ < 0 ? 0 : write_all(file_, text);
  }

 private:
  bool is_there() const {
    struct stat named {
    }, open{};
    return file_ >= 0 && ::stat(path_.c_str(), &named) == 0 && ::fstat(file_, &open) == 0 &&
           named.st_ino == open.st_ino && named.st_dev == open.st_dev;
  }
  // Where there cannot be a new one the old one is gone on with.
  void reopen() {
    const int before = file_;
    if (!open().ok()) {
      file_ = before;
    } else if (before >= 0) {
      ::close(before);
    }
  }

  const std::string path_;
  const Clock& clock_;
  int file_ = -1;
  MonotonicTime next_look_{};
};

class AccessOutput::Rotated final : public Destination {
 public:
  explicit Rotated(std::unique_ptr<RotatingFile> file) : file_(std::move(file)) {}
  size_t write(std::string_view text) override { return file_->write(text); }

 private:
  const std::unique_ptr<RotatingFile> file_;
};

// Others write there as well, and somebody may read it who does not go on: no flag of it is
// changed, and no more is written at a time than a pipe takes that has said that it takes
// something. That is whole lines as long as they fit: between two writes others may write theirs.
class AccessOutput::Stream final : public Destination {
 public:
  Stream(int file, const std::atomic<bool>& hurry) : file_(file), hurry_(hurry) {}

  size_t write(std::string_view text) override {
    size_t done = 0;
    while (done < text.size() && is_ready()) {
      const size_t wanted = portion(text.substr(done));
      const size_t n = write_all(file_, text.substr(done, wanted));
      done += n;
      if (n < wanted) break;
    }
    return done;
  }

 private:
  static size_t portion(std::string_view text) {
    if (text.size() <= PIPE_BUF) return text.size();
    const size_t end = text.substr(0, PIPE_BUF).rfind('\n');
    return end == std::string_view::npos ? PIPE_BUF : end + 1;
  }
  bool is_ready() const {
    pollfd waits{.fd = file_, .events = POLLOUT, .revents = 0};
    const int patience = hurry_.load(std::memory_order_relaxed) ? 0 : kPatienceMs;
    int n = 0;
    do {
      n = ::poll(&waits, 1, patience);
    } while (n < 0 && errno == EINTR);
    return n > 0 && (waits.revents & POLLOUT) != 0;
  }

  const int file_;
  const std::atomic<bool>& hurry_;
};

absl::StatusOr<std::unique_ptr<AccessOutput>> AccessOutput::open(Options options) {
  CHECK(options.clock != nullptr);
  const auto cannot = [&options](std::string_view why) {
    return absl::InvalidArgumentError(cat("couldn't open access log ", options.target, ": ", why));
  };
  std::unique_ptr<AccessOutput> output(new AccessOutput(options));
  const std::string& target = options.target;
  if (target == "stderr" || target == "stdout") {
    output->destination_ = std::make_unique<Stream>(
        target == "stdout" ? STDOUT_FILENO : STDERR_FILENO, output->stopping_);
  } else if (options.rotation) {
    const Clock& clock = *options.clock;
    absl::StatusOr<std::unique_ptr<RotatingFile>> file =
        RotatingFile::open(target, *options.rotation, [&clock] { return clock.unix_time(); });
    if (!file.ok()) return cannot(message_of(file.status()));
    output->destination_ = std::make_unique<Rotated>(*std::move(file));
  } else {
    auto file = std::make_unique<File>(target, *options.clock);
    if (absl::Status s = file->open(); !s.ok()) return cannot(message_of(s));
    output->destination_ = std::move(file);
  }
  return output;
}

AccessOutput::AccessOutput(Options options) : options_(std::move(options)) {}

AccessOutput::~AccessOutput() { stop(); }

void AccessOutput::stop() {
  if (std::exchange(stopped_, true)) return;
  stopping_ = true;
  lane_.stop();
}

void AccessOutput::write(std::string text, uint64_t lines, uint64_t dropped) {
  if (stopping_.load(std::memory_order_relaxed)) {
    dropped_.fetch_add(lines + dropped, std::memory_order_relaxed);
    return;
  }
  const size_t size = text.size();
  queued_.fetch_add(size, std::memory_order_relaxed);
  lane_.post([this, text = std::move(text), size, lines, dropped] {
    put(text, lines, dropped);
    queued_.fetch_sub(size, std::memory_order_relaxed);
  });
}

void AccessOutput::put(std::string_view text, uint64_t lines, uint64_t dropped) {
  dropped_.fetch_add(dropped, std::memory_order_relaxed);
  missing_ += dropped;
  std::string whole = in_line_ ? "\n" : "";
  if (missing_ > 0) {
    append_dropped(whole, timestamp_text(options_.clock->unix_time()), missing_);
  }
  const size_t head = whole.size();
  whole += text;
  const size_t done = disk_has_space() ? destination_->write(whole) : 0;
  if (done > 0) in_line_ = whole[done - 1] != '\n';
  note(done == whole.size());
  const auto lost = static_cast<uint64_t>(
      std::count(whole.begin() + static_cast<ptrdiff_t>(std::max(done, head)), whole.end(), '\n'));
  CHECK(lost <= lines);
  if (done >= head) missing_ = 0;
  missing_ += lost;
  dropped_.fetch_add(lost, std::memory_order_relaxed);
  written_.fetch_add(lines - lost, std::memory_order_relaxed);
}

void AccessOutput::note(bool writes) {
  if (std::exchange(writes_, writes) == writes) return;
  if (writes) {
    log::info("the access log is written again", {{"target", options_.target}});
  } else {
    log::warn("the access log cannot be written; its lines are dropped and counted",
              {{"target", options_.target}});
  }
}

bool AccessOutput::disk_has_space() {
  const MonotonicTime now = options_.clock->now();
  if (now < next_look_) return has_space_;
  next_look_ = now + kLookEach;
  const bool is_file = options_.target != "stderr" && options_.target != "stdout";
  const std::optional<Space> space = is_file ? options_.space(options_.target) : std::nullopt;
  has_space_ = !space || space->free >= std::min(kMostSpared, space->total / 8);
  return has_space_;
}

std::optional<AccessOutput::Space> AccessOutput::space_of(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string directory = file.has_parent_path() ? file.parent_path().string() : ".";
  struct statvfs disk {};
  if (::statvfs(directory.c_str(), &disk) != 0) return std::nullopt;
  return Space{.free = uint64_t{disk.f_bavail} * disk.f_frsize,
               .total = uint64_t{disk.f_blocks} * disk.f_frsize};
}

}  // namespace keelson::server
