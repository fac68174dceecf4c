#include "server/rotating_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPacked = ".gz";
constexpr int64_t kSecond = 1'000'000'000;

std::string time_text(Duration unix_time, bool local) {
  const auto seconds = static_cast<time_t>(unix_time.count() / kSecond);
  const auto millis = static_cast<int>(unix_time.count() % kSecond / 1'000'000);
  std::tm parts{};
  (local ? localtime_r : gmtime_r)(&seconds, &parts);
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d-%02d-%02d.%03d",
                parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                parts.tm_sec, millis);
  return text.data();
}

// Unix seconds.
std::optional<int64_t> time_of(const std::string& text, bool local) {
  std::tm parts{};
  int millis = 0, used = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d-%2d-%2d.%3d%n", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &millis,
                  &used) != 7 ||
      static_cast<size_t>(used) != text.size()) {
    return std::nullopt;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  parts.tm_isdst = -1;
  return static_cast<int64_t>(local ? std::mktime(&parts) : timegm(&parts));
}

struct Backup {
  fs::path path;
  std::string time;
  int64_t seconds;
  bool packed;
};

// Newest first.
std::vector<Backup> backups_of(const fs::path& log, bool local) {
  const std::string begin = log.stem().string() + "-", end = log.extension().string();
  std::vector<Backup> found;
  std::error_code error;
  const fs::path directory = log.has_parent_path() ? log.parent_path() : fs::path(".");
  for (fs::directory_iterator at(directory, error), last; !error && at != last;
       at.increment(error)) {
    std::string name = at->path().filename().string();
    const bool packed = name.ends_with(kPacked);
    if (packed) name.resize(name.size() - kPacked.size());
    if (!name.starts_with(begin) || !name.ends_with(end)) continue;
    if (name.size() < begin.size() + end.size()) continue;
    std::string time = name.substr(begin.size(), name.size() - begin.size() - end.size());
    const std::optional<int64_t> seconds = time_of(time, local);
    if (seconds) found.push_back({at->path(), std::move(time), *seconds, packed});
  }
  std::sort(found.begin(), found.end(),
            [](const Backup& a, const Backup& b) { return a.time > b.time; });
  return found;
}

// The packed file is there whole, or not at all.
bool pack(const fs::path& from) {
  const std::string to = from.string() + std::string(kPacked), unfinished = to + ".tmp";
  std::FILE* in = std::fopen(from.c_str(), "rbe");
  gzFile out = in == nullptr ? nullptr : gzopen(unfinished.c_str(), "wbe1");
  bool good = out != nullptr;
  std::array<char, 64 * 1024> block;
  for (size_t n = 0; good && (n = std::fread(block.data(), 1, block.size(), in)) > 0;) {
    good = gzwrite(out, block.data(), static_cast<unsigned>(n)) == static_cast<int>(n);
  }
  if (in != nullptr) {
    good = good && std::ferror(in) == 0;
    std::fclose(in);
  }
  if (out != nullptr) good = gzclose(out) == Z_OK && good;
  if (good) good = std::rename(unfinished.c_str(), to.c_str()) == 0;
  std::error_code ignored;
  if (out != nullptr && !good) fs::remove(unfinished, ignored);
  return good && fs::remove(from, ignored);
}

}  // namespace

RotatingFile::RotatingFile(std::string path, LogRotation rotation,
                           std::function<Duration()> unix_time)
    : path_(std::move(path)), rotation_(rotation), unix_time_(std::move(unix_time)) {}

absl::StatusOr<std::unique_ptr<RotatingFile>> RotatingFile::open(
    std::string path, LogRotation rotation, std::function<Duration()> unix_time) {
  std::unique_ptr<RotatingFile> file(
      new RotatingFile(std::move(path), rotation, std::move(unix_time)));
  if (absl::Status s = file->open_file(); !s.ok()) return s;
  file->asked_ = 1;  // what is left of an earlier run
  file->tidier_ = std::thread([raw = file.get()] { raw->run(); });
  return file;
}

RotatingFile::~RotatingFile() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  if (tidier_.joinable()) tidier_.join();
  if (file_ >= 0) ::close(file_);
}

absl::Status RotatingFile::open_file() {
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct stat status {};
  if (file_ < 0 || ::fstat(file_, &status) != 0) {
    return absl::UnavailableError(cat("open ", path_, ": ", std::strerror(errno)));
  }
  size_ = static_cast<uint64_t>(status.st_size);
  return absl::OkStatus();
}

size_t RotatingFile::write(std::string_view text) {
  if (size_ > 0 && size_ + text.size() > rotation_.max_bytes) rotate();
  size_t done = 0;
  while (done < text.size() && file_ >= 0) {
    const ssize_t n = ::write(file_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  size_ += done;
  return done;
}

void RotatingFile::rotate() {
  if (file_ >= 0) ::close(file_);
  // What cannot be put aside is gone on with.
  (void)std::rename(path_.c_str(), backup_name().c_str());
  (void)open_file();
  {
    std::lock_guard lock(mutex_);
    ++asked_;
  }
  changed_.notify_all();
}

// Of two within a millisecond the second gets the next one's name.
std::string RotatingFile::backup_name() const {
  const fs::path log(path_);
  Duration time = unix_time_();
  while (true) {
    const std::string name = cat(log.stem().string(), "-", time_text(time, rotation_.local_time),
                                 log.extension().string());
    const fs::path path = log.parent_path() / name;
    std::error_code error;
    if (!fs::exists(path, error) && !fs::exists(path.string() + std::string(kPacked), error)) {
      return path.string();
    }
    time += std::chrono::milliseconds(1);
  }
}

void RotatingFile::tidy() {
  std::unique_lock lock(mutex_);
  const uint64_t mine = ++asked_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return done_ >= mine; });
}

void RotatingFile::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return over_ || done_ < asked_; });
    if (over_ && done_ == asked_) return;
    const uint64_t asked = asked_;
    lock.unlock();
    tidy_once();
    lock.lock();
    done_ = asked;
    changed_.notify_all();
  }
}

void RotatingFile::tidy_once() const {
  constexpr int64_t kDay = 86'400;
  const int64_t now = unix_time_().count() / kSecond;
  const auto oldest = now - static_cast<int64_t>(rotation_.max_age_days) * kDay;
  uint64_t kept = 0;
  std::string last;
  std::error_code ignored;
  for (const Backup& backup : backups_of(path_, rotation_.local_time)) {
    // One that is being packed when the process ends is there twice.
    if (backup.time != std::exchange(last, backup.time)) ++kept;
    const bool many = rotation_.max_backups > 0 && kept > rotation_.max_backups;
    const bool old = rotation_.max_age_days > 0 && backup.seconds < oldest;
    if (many || old) {
      fs::remove(backup.path, ignored);
    } else if (rotation_.compress && !backup.packed) {
      pack(backup.path);
    }
  }
}

}  // namespace keelson::server
